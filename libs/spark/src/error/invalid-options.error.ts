import { inspect } from 'node:util';
import { SparkError } from './spark.error.js';

/** Stands for the value in the message when there is no such option. */
export const UNKNOWN = { [inspect.custom]: () => 'unknown' };

/** A value that is not valid: of an option of SparkModule or a decorator (thrown at boot), or of a parameter of a method of Spark. */
export class InvalidOptionsError extends SparkError {
  /** @param option the path of the module's option, or words that name the parameter */
  constructor(option: string, given: unknown, expected: string) {
    const what = /^[a-z][\w.]*( of @.*)?$/.test(option) ? `Spark's option ${option}` : option;
    super(`${what} is ${inspect(given)}. Expected: ${expected.replace(/\.$/, '')}.`);
  }
}
