import { SparkError } from './spark.error.js';

/** The selector of a `touch` does not name the columns that hold the id of the source's entity. Thrown at boot. */
export class UnknownColumnError extends SparkError {
  /** @param reason what the selector does, as the end of a sentence */
  constructor(method: string, entity: string, reason: string, columns: readonly string[]) {
    super(
      `touch(${entity}) in touchedBy of @EventSource on ${method} ${reason}. Return columns of ${entity} unchanged: ` +
        `(entity) => entity.${columns.at(-1) ?? 'id'}. Its columns: ${columns.join(', ')}.`,
    );
  }
}
