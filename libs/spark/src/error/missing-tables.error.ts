import { migrationsCall, type NamingOptions } from './migrations-call.js';
import { SparkError } from './spark.error.js';

/** Tables of Spark do not exist. Thrown at boot. */
export class MissingTablesError extends SparkError {
  constructor(tables: readonly string[], options: NamingOptions) {
    super(
      `The tables ${tables.join(', ')} are missing. Add ...${migrationsCall(options)} to the migrations of the DataSource ` +
        `and run them, or set synchronize: true while developing.`,
    );
  }
}
