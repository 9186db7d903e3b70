import { SparkError } from './spark.error.js';

/** A handler returned a value that is not a plain result, and that Spark cannot wait for. The attempt has failed. */
export class UnusableResultError extends SparkError {
  constructor(handler: string, given: string, remedy: string) {
    super(`${handler} returned ${given}, so Spark cannot know when its work is done. ${remedy}`);
  }
}
