import type { MigrationInterface, QueryRunner } from 'typeorm';
import { dialectOf } from '../dialects.js';
import { migrateDown, migrateUp, VERSIONS } from './schema.js';
import type { SchemaVersion } from './schema-version.js';
import { tableNames } from '../table-names.js';
import { refuseUnknown, sqlIdentifier } from '../../config/option-parsers.js';

/** The names of the tables, as in `SparkModule.forRoot`. */
export interface SparkMigrationOptions {
  /** Default: `spark_`. */
  tablePrefix?: string;
  /** Default: the schema of the DataSource. */
  schema?: string;
}

/**
 * Returns the migrations that create Spark's tables, for the `migrations` of a DataSource that does not use `synchronize`. They run on
 * every database that Spark supports. Each changes the tables from one version to the next. It does nothing if that was done already,
 * and continues if it was interrupted.
 *
 * @param options The `tablePrefix` and `schema` of `SparkModule.forRoot`, if they are not the defaults.
 * @returns Migration classes, oldest first.
 * @throws InvalidOptionsError for an unknown option, and for an invalid name. The migrations themselves throw MissingSchemaError if the
 *   schema does not exist.
 *
 * @example
 * new DataSource({ type: 'postgres', migrations: [...sparkMigrations(), ...myMigrations] })
 */
export function sparkMigrations(options: SparkMigrationOptions = {}): (new () => MigrationInterface)[] {
  refuseUnknown(
    'sparkMigrations',
    options,
    ['tablePrefix', 'schema'],
    (name) => `the option ${name} of sparkMigrations`,
  );
  const prefix = sqlIdentifier('tablePrefix', options.tablePrefix ?? 'spark_', 40);
  const schema = options.schema === undefined ? undefined : sqlIdentifier('schema', options.schema, 63);
  return VERSIONS.map((version) => migrationOf(version, prefix, schema));
}

function migrationOf(version: SchemaVersion, prefix: string, schema?: string): new () => MigrationInterface {
  const place = ({ dataSource, manager }: QueryRunner) => {
    const names = tableNames(dataSource, prefix, schema);
    return [manager, dialectOf(dataSource, names), names, version] as const;
  };
  return class implements MigrationInterface {
    readonly name = version.migration;

    up(runner: QueryRunner): Promise<void> {
      return migrateUp(...place(runner));
    }

    down(runner: QueryRunner): Promise<void> {
      return migrateDown(...place(runner));
    }
  };
}
