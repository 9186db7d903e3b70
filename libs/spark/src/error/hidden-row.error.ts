import { SparkError } from './spark.error.js';

/** A row is not seen, where row-level security may hide it: whether it is gone cannot be known. */
export class HiddenRowError extends SparkError {
  constructor(entity: string, id: string) {
    super(
      `${entity} ${id} is not seen: it is gone, or PostgreSQL hides it from Spark by row-level security. Let Spark connect as a role ` +
        `with BYPASSRLS.`,
    );
  }
}
