import { SparkError } from './spark.error.js';
import { got } from './wording.js';

/** An occurrence that cannot be computed: the date is invalid, or the time zone does not exist. Thrown in the source that computes it. */
export class InvalidOccurrenceError extends SparkError {
  constructor(helper: string, part: 'date' | 'time zone', given: unknown) {
    const expected = part === 'date' ? 'a valid Date' : `the name of a time zone such as 'Europe/Berlin'`;
    super(`${helper} was given ${got(given)} as ${part}. Give it ${expected}.`);
  }
}
