import { SparkError } from './spark.error.js';

/** The primary key of an entity cannot be kept as text. Thrown at boot. */
export class UnsupportedKeyError extends SparkError {
  constructor(entity: string, column: string, type: string) {
    super(
      `${entity} cannot have an event source: its primary key ${column} is of the type ${type}. ` +
        `Spark needs keys of whole numbers, text or uuid.`,
    );
  }
}
