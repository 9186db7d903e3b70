import { SparkError } from './spark.error.js';

/** Tables of Spark are not there. Thrown at boot. */
export class MissingTablesError extends SparkError {
  constructor(tables: string[], tablePrefix: string, schema: string | undefined) {
    const options = [
      ...(tablePrefix === 'spark_' ? [] : [`tablePrefix: '${tablePrefix}'`]),
      ...(schema === undefined ? [] : [`schema: '${schema}'`]),
    ];
    const given = options.length === 0 ? '' : `{ ${options.join(', ')} }`;
    super(
      `The tables ${tables.join(', ')} are missing. Add ...sparkMigrations(${given}) to the migrations of the DataSource ` +
        `and run them, or set synchronize: true while developing.`,
    );
  }
}
