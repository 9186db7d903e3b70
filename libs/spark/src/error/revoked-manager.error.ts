import { SparkError } from './spark.error.js';

/** A transactional handler used `scope.manager` after its transaction had ended, for example after its time-out. */
export class RevokedManagerError extends SparkError {
  constructor(handler: string) {
    super(
      `${handler} used scope.manager after its transaction had ended; the statement was not sent. Await everything that ` +
        `you do with scope.manager, and stop when scope.signal is aborted.`,
    );
  }
}
