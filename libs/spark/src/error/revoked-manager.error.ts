import { SparkError } from './spark.error.js';

/** A transactional handler used `scope.manager` after its transaction had ended, as late work after a time-out does. */
export class RevokedManagerError extends SparkError {
  constructor(handler: string) {
    super(
      `${handler} used scope.manager after its transaction had ended; the statement was not run. Await everything that ` +
        `is done with it, and stop when scope.signal is aborted.`,
    );
  }
}
