import { SparkError } from '../error/spark.error.js';

/** A handler with a rate limit was not called: it would have begun later than the limit has counted. The delivery is given back. */
export class TooLate extends SparkError {
  constructor(handler: string) {
    super(`the process was too slow to call ${handler} within the time that its rate limit counts`);
  }
}
