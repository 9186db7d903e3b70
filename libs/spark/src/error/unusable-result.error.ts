import { SparkError } from './spark.error.js';

/** A handler returned something that Spark can neither wait for nor take for a plain result. The attempt has failed. */
export class UnusableResultError extends SparkError {
  constructor(handler: string, given: string, remedy: string) {
    super(`${handler} returned ${given}, and Spark cannot tell when its work is done. ${remedy}`);
  }
}
