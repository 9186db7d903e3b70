import { SparkError } from './spark.error.js';

/** A source or a handler called `drain()`, which would wait for that source or handler to end. */
export class DrainWithinError extends SparkError {
  /** @param what the name of the source or the handler */
  constructor(what: string) {
    super(
      `${what} called SparkService.drain(), which would wait for ${what} to end: for ever. Remove the call: Spark handles what was ` +
        `saved or emitted after the commit. Call drain() in tests and scripts.`,
    );
  }
}
