import { SparkError } from './spark.error.js';

/** The schema of Spark's tables does not exist. Thrown at boot, and by Spark's migrations. */
export class MissingSchemaError extends SparkError {
  constructor(schema: string, create: string) {
    super(
      `The schema ${schema}, where Spark's tables belong, does not exist. Create it (${create}) before Spark's migrations run, ` +
        `or change the option schema.`,
    );
  }
}
