import { SparkError } from './spark.error.js';

/** The caller named a handler that this process does not have. */
export class UnknownHandlerError extends SparkError {
  constructor(name: string, known: readonly string[]) {
    super(`There is no handler named "${name}" in this process. Its handlers: ${known.join(', ') || 'none'}.`);
  }
}
