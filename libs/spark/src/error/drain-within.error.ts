import { SparkError } from './spark.error.js';

/** `drain()` was called in a source or a handler, which it would wait for. */
export class DrainWithinError extends SparkError {
  /** @param what the source or the handler */
  constructor(what: string) {
    super(
      `SparkService.drain() was called in ${what}, and would wait for ${what} to end: for ever. Leave it out: what was saved or emitted ` +
        `is worked on when it has committed. Call drain() in tests and scripts.`,
    );
  }
}
