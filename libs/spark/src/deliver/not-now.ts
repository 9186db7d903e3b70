import { SparkError } from '../error/spark.error.js';

/** A digest was not called: it is in its quiet hours. Its deliveries are given back until these end. */
export class NotNow extends SparkError {
  constructor(
    handler: string,
    /** When they end, in epoch milliseconds. */
    readonly until: number,
  ) {
    super(`the quiet hours of ${handler} end at ${new Date(until).toISOString()}`);
  }
}
