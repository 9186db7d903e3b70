import { inspect } from 'node:util';
import { SparkError } from './spark.error.js';

/** What is said to be given when there is no such option. */
export const UNKNOWN = { [inspect.custom]: () => 'unknown' };

/** An option of SparkModule or of a decorator that has no meaning. Thrown at boot. */
export class InvalidOptionsError extends SparkError {
  constructor(option: string, given: unknown, expected: string) {
    super(`Spark's option ${option} is ${inspect(given)}. Expected: ${expected}.`);
  }
}
