import { SparkError } from './spark.error.js';

/** A listener of alerts took too long. It is notified again later. */
export class AlertTimeoutError extends SparkError {
  constructor(limit: number) {
    super(
      `It has not ended within ${limit} ms. Does it wait for something that does not answer? Give what it calls a time limit.`,
    );
  }
}
