import { SparkError } from './spark.error.js';

/** Two entity classes of a DataSource have one name, by which Spark's tables know entities. Thrown at boot. */
export class DuplicateEntityError extends SparkError {
  constructor(method: string, entity: string, tables: readonly string[]) {
    super(
      `${method} is an event source of ${entity}, and ${tables.length} entities are called so (of the tables ${tables.join(', ')}). ` +
        `Spark knows entities by these names. Rename one of the classes.`,
    );
  }
}
