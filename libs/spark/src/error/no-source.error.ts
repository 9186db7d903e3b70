import { SparkError } from './spark.error.js';

/** A method of SparkService got an entity that has no event source. */
export class NoSourceError extends SparkError {
  constructor(method: string, entity: string, known: readonly string[]) {
    const others =
      known.length === 0 ? 'No entity has one in this process' : `Entities that have one: ${known.join(', ')}`;
    super(`${method} was given ${entity}, which has no event source. ${others}.`);
  }
}
