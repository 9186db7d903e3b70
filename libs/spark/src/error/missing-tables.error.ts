import { SparkError } from './spark.error.js';

/** Tables of Spark are not there. Thrown at boot. */
export class MissingTablesError extends SparkError {
  constructor(tables: string[]) {
    super(
      `The tables ${tables.join(', ')} are missing. Add ...sparkMigrations() to the migrations of the DataSource and run ` +
        `them, or set synchronize: true while developing.`,
    );
  }
}
