import { SparkError } from './spark.error.js';

/** A nested transaction goes on after its outer transaction gave up waiting for it and was rolled back. */
export class SqliteCutOffError extends SparkError {
  /** @param waited how long the outer transaction waited for the nested one to end, in milliseconds */
  constructor(waited: number) {
    super(
      `This nested transaction no longer exists: its outer transaction waited ${waited} ms for it to end and was then rolled back. ` +
        `Await nested transactions, do nothing slow in them, or raise SparkModule's sqlite.lockTimeout.`,
    );
  }
}
