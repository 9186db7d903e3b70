import { SparkError } from './spark.error.js';

/** A column or an index of Spark's tables is not there: a start or a migration was interrupted, or somebody removed it. Thrown at boot. */
export class IncompleteTablesError extends SparkError {
  constructor(
    missing: readonly { readonly table: string; readonly part: string }[],
    versions: readonly { readonly migration: string }[],
  ) {
    const parts = missing.map(({ table, part }) => `${table} lacks ${part}`).join('; ');
    const names = versions.map(({ migration }) => migration).join(' and ');
    super(
      `Spark's tables are not whole: ${parts}. Run the migrations ${names} again, which make what is missing: remove their ` +
        `rows from the DataSource's table of migrations first. With synchronize: true the next start does it.`,
    );
  }
}
