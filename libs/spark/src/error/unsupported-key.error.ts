import { SparkError } from './spark.error.js';

/** The primary key of an entity cannot be kept as text. Thrown at boot. */
export class UnsupportedKeyError extends SparkError {
  /** @param reason what is wrong with its key, and what to do about it */
  constructor(entity: string, reason: string) {
    super(`${entity} cannot have an event source: its primary key ${reason}`);
  }
}
