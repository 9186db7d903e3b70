import { inspect } from 'node:util';
import { SparkError } from './spark.error.js';

/** An option of SparkModule or of a decorator that has no meaning. Thrown at boot. */
export class InvalidOptionsError extends SparkError {
  constructor(option: string, given: unknown, expected: string) {
    super(`Spark's option ${option} is ${given === undefined ? 'unknown' : inspect(given)}. Expected: ${expected}.`);
  }
}
