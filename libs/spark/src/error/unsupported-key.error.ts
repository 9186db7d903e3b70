import { SparkError } from './spark.error.js';

/** Spark cannot store the primary key of an entity as text. Thrown at boot. */
export class UnsupportedKeyError extends SparkError {
  /** @param reason what is wrong with the key, and what to do about it */
  constructor(entity: string, reason: string) {
    super(`${entity} cannot have an event source: its primary key ${reason}`);
  }
}
