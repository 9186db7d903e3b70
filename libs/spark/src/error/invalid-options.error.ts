import { inspect } from 'node:util';
import { SparkError } from './spark.error.js';

/** What is said to be given when there is no such option. */
export const UNKNOWN = { [inspect.custom]: () => 'unknown' };

/** An option that has no meaning: of SparkModule or a decorator, at boot, or of what a method of Spark was given. */
export class InvalidOptionsError extends SparkError {
  /** @param option its path among the module's options, or the words for what else was given */
  constructor(option: string, given: unknown, expected: string) {
    const what = /^[a-z][\w.]*( of @.*)?$/.test(option) ? `Spark's option ${option}` : option;
    super(`${what} is ${inspect(given)}. Expected: ${expected.replace(/\.$/, '')}.`);
  }
}
