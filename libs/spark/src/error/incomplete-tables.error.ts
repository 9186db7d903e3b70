import { SparkError } from './spark.error.js';

/** A column or an index of Spark's tables is missing: a start or a migration was interrupted, or a person removed it. Thrown at boot. */
export class IncompleteTablesError extends SparkError {
  constructor(
    missing: readonly { readonly table: string; readonly part: string }[],
    versions: readonly { readonly migration: string }[],
  ) {
    const parts = missing.map(({ table, part }) => `${table} lacks ${part}`).join('; ');
    const names = versions.map(({ migration }) => migration).join(' and ');
    super(
      `Spark's tables are not complete: ${parts}. Remove the rows of the migrations ${names} from the DataSource's table of ` +
        `migrations, then run these migrations again: they create what is missing. With synchronize: true the next start does it.`,
    );
  }
}
