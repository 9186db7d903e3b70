import { SparkError } from './spark.error.js';

/** An interceptor has ended without calling `next()`. What it goes round has not been run, and counts as failed. */
export class NextNotCalledError extends SparkError {
  /** @param where `Class.method` of the interceptor */
  constructor(where: string) {
    super(
      `${where} has ended without calling next(), so that nothing was run. Return next(). To give a delivery up, throw DiscardDelivery.`,
    );
  }
}
