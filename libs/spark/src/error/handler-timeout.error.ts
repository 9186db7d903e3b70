import { SparkError } from './spark.error.js';

/** A handler took longer than its `timeout`. Spark aborts its signal, frees its place and tries the delivery again. */
export class HandlerTimeoutError extends SparkError {
  constructor(handler: string, timeout: number) {
    super(
      `${handler} was still at work after ${timeout} ms, its timeout. Stop its work when scope.signal is aborted, or raise the timeout of ` +
        `@GroupHandler.`,
    );
  }
}
