import { SparkError } from './spark.error.js';

/** A handler took longer than its `timeout`. Its signal is aborted, its place is free, and the delivery is tried again. */
export class HandlerTimeoutError extends SparkError {
  constructor(handler: string, timeout: number) {
    super(
      `${handler} was still at work after ${timeout} ms, its timeout. Let it watch scope.signal, or raise the timeout of ` +
        `@GroupHandler.`,
    );
  }
}
