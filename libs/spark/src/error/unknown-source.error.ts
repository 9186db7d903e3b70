import { SparkError } from './spark.error.js';

/** The caller named an event source that this process does not have, and that was never swept. */
export class UnknownSourceError extends SparkError {
  constructor(name: string, known: readonly string[]) {
    super(`There is no event source named "${name}". Known sources: ${known.join(', ') || 'none'}.`);
  }
}
