import { SparkError } from './spark.error.js';

/** A `touch` whose selector does not name the columns that hold the id of the source's entity. Thrown at boot. */
export class UnknownColumnError extends SparkError {
  /** @param reason what the selector does instead, as the end of a sentence */
  constructor(method: string, entity: string, reason: string, columns: readonly string[]) {
    super(
      `touch(${entity}) in touchedBy of @EventSource on ${method} ${reason}. Name columns of ${entity} as they are: ` +
        `(entity) => entity.${columns.at(-1) ?? 'id'}. There are: ${columns.join(', ')}.`,
    );
  }
}
