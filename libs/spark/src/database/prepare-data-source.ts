import type { DataSource } from 'typeorm';
import type { SparkSettings } from '../config/spark.settings.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { Dialect } from './dialect.js';
import { checkTables, migrateAll } from './schema/schema.js';
import { serializeSqlite } from './sqlite/sqlite-serializer.js';
import { withRunner } from './statement.js';
import type { TableNames } from './table-names.js';
import { hasOneConnection } from './traits.js';
import { checkInternals } from './typeorm-internals.js';

/** Throws InvalidOptionsError if a schema is named for a database that has none. */
export function checkSchemaOption(dataSource: DataSource, { schema }: SparkSettings): void {
  if (schema !== undefined && hasOneConnection(dataSource))
    throw new InvalidOptionsError('schema', schema, 'left out on SQLite, which has no schemas');
}

/**
 * Prepares a DataSource for Spark: it keeps SQLite's transactions apart, and creates or checks Spark's tables. Throws what
 * {@link checkTables} throws, InvalidOptionsError, MissingPartError.
 */
export async function prepareDataSource(
  dataSource: DataSource,
  dialect: Dialect,
  tables: TableNames,
  settings: SparkSettings,
): Promise<void> {
  checkSchemaOption(dataSource, settings);
  if (hasOneConnection(dataSource) && settings.sqlite.serialize) serializeSqlite(dataSource, settings.sqlite);
  await withRunner(dataSource.manager, async (runner) => {
    const isWhole = dataSource.options.synchronize && (await migrateAll(runner.manager, dialect, tables));
    if (!isWhole) await checkTables(runner, tables, settings);
    checkInternals(runner);
  });
}
