import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dialectOf } from '../dialect/dialect.js';
import { tableNames } from '../dialect/table-names.js';
import { createTables, dropTables } from '../dialect/tables.js';

/** What the tables were named in `SparkModule.forRoot`. */
export interface SparkMigrationOptions {
  /** Default: `spark_`. */
  tablePrefix?: string;
  /** Default: the schema of the DataSource. */
  schema?: string;
}

/**
 * The migrations that make Spark's tables, for the `migrations` of a DataSource that does not use `synchronize`. They
 * run on every database that Spark supports, and do nothing where the tables are there already.
 *
 * @param options The `tablePrefix` and `schema` that `SparkModule.forRoot` is given, where they are not the defaults.
 * @returns Migration classes, oldest first.
 *
 * @example
 * new DataSource({ type: 'postgres', migrations: [...sparkMigrations(), ...myMigrations] })
 */
export function sparkMigrations(options: SparkMigrationOptions = {}): (new () => MigrationInterface)[] {
  const tables = (runner: QueryRunner) =>
    tableNames(runner.dataSource, options.tablePrefix ?? 'spark_', options.schema);
  class CreateSparkTables1764000000000 implements MigrationInterface {
    readonly name = 'CreateSparkTables1764000000000';

    async up(runner: QueryRunner): Promise<void> {
      const names = tables(runner);
      await createTables(runner.manager, dialectOf(runner.dataSource, names), names);
    }

    async down(runner: QueryRunner): Promise<void> {
      await dropTables(runner, tables(runner));
    }
  }
  return [CreateSparkTables1764000000000];
}
