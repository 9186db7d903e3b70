import { migrationsCall, type NamingOptions } from './migrations-call.js';
import { SparkError } from './spark.error.js';

/** An older release has made Spark's tables, and the migrations of this release have not run. Thrown at boot. */
export class OlderTablesError extends SparkError {
  constructor(
    found: number,
    needed: number,
    pending: readonly { readonly migration: string }[],
    options: NamingOptions,
  ) {
    const names = pending.map(({ migration }) => migration).join(', ');
    super(
      `Spark's tables are of version ${found}, and this release of nestjs-spark needs version ${needed}. Run the migration ` +
        `${names} of ...${migrationsCall(options)}, or set synchronize: true while developing.`,
    );
  }
}
