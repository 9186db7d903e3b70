import { SparkError } from './spark.error.js';

/** The caller named a handler that this process does not have, or that no process has registered. */
export class UnknownHandlerError extends SparkError {
  constructor(name: string, known: readonly string[], place: 'this process' | 'any process' = 'this process') {
    const whose = place === 'this process' ? 'Its' : 'Known';
    super(`There is no handler named "${name}" in ${place}. ${whose} handlers: ${known.join(', ') || 'none'}.`);
  }
}
