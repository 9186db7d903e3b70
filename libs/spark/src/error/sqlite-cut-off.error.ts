import { SparkError } from './spark.error.js';

/** A nested transaction goes on after the one that it is nested in was rolled back without waiting any longer for it. */
export class SqliteCutOffError extends SparkError {
  /** @param waited how long its outer transaction waited for it to end, in milliseconds */
  constructor(waited: number) {
    super(
      `This nested transaction is gone: its outer transaction was rolled back, and waited ${waited} ms for it to end. Await ` +
        `nested transactions, let them wait for nothing slow, or raise SparkModule's sqlite.lockTimeout.`,
    );
  }
}
