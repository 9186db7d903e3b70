import { SparkError } from './spark.error.js';

/** The DataSource is of a kind that Spark cannot use. Thrown at boot. */
export class UnsupportedDatabaseError extends SparkError {
  constructor(type: string) {
    super(
      `Spark does not support the database type "${type}". It supports better-sqlite3, postgres, mysql and mariadb.`,
    );
  }
}
