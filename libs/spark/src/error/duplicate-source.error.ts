import { SparkError } from './spark.error.js';

/** Two event sources of one application share a name. Thrown at boot. */
export class DuplicateSourceError extends SparkError {
  constructor(name: string, first: string, second: string) {
    super(
      `Two event sources are named "${name}": ${first} and ${second}. Give one of them another name: ` +
        `@EventSource(Entity, { name: "…" }).`,
    );
  }
}
