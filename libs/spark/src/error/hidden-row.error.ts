import { SparkError } from './spark.error.js';

/** A query did not return a row, and row-level security may hide it. So Spark cannot know whether the row is gone. */
export class HiddenRowError extends SparkError {
  constructor(entity: string, id: string) {
    super(
      `${entity} ${id} was not found: it is gone, or PostgreSQL hides it from Spark by row-level security. Let Spark connect as a role ` +
        `with BYPASSRLS.`,
    );
  }
}
