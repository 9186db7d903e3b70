import { type EntityManager, type QueryRunner, Table } from 'typeorm';
import type { NamingOptions } from '../../error/migrations-call.js';
import { IncompleteTablesError } from '../../error/incomplete-tables.error.js';
import { MissingSchemaError } from '../../error/missing-schema.error.js';
import { MissingTablesError } from '../../error/missing-tables.error.js';
import { NewerTablesError } from '../../error/newer-tables.error.js';
import { OlderTablesError } from '../../error/older-tables.error.js';
import type { Dialect } from '../dialect.js';
import { execute, select } from '../statement.js';
import { createSchemaSql, hasOneConnection } from '../traits.js';
import { withPatience } from '../statement-deadline.js';
import type { TableNames } from '../table-names.js';
import { columnTypes } from './column-types.js';
import { complete, lacking } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v1 } from './v1.js';
import { v2 } from './v2.js';
import { v3 } from './v3.js';
import { v4 } from './v4.js';
import { v5 } from './v5.js';
import { v6 } from './v6.js';
import { v7 } from './v7.js';
import { v8 } from './v8.js';
import { v9 } from './v9.js';
import { v10 } from './v10.js';
import { v11 } from './v11.js';
import { v12 } from './v12.js';
import { v13 } from './v13.js';

/** The versions of Spark's tables, oldest first. */
export const VERSIONS: readonly SchemaVersion[] = [v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13];
const CURRENT = VERSIONS.at(-1)!;

/** The tables that this release needs, with all columns and indexes. */
export const neededTables = (place: Place) => CURRENT.tables(place);

/** Changes the tables to one version. Throws MissingSchemaError. */
export async function migrateUp(manager: EntityManager, dialect: Dialect, names: TableNames, to: SchemaVersion) {
  await checkSchema(manager.queryRunner!, names);
  await alone(manager, dialect, async (runner) => {
    const version = await versionOf({ runner, names });
    // A later version has done it already.
    if (version <= to.version) await raise({ runner, names }, to);
  });
}

/** Changes the tables from one version back to the previous one. */
export async function migrateDown(manager: EntityManager, dialect: Dialect, names: TableNames, from: SchemaVersion) {
  await alone(manager, dialect, async (runner) => {
    const place = { runner, names };
    if ((await versionOf(place)) === 0) return;
    await from.down(place);
    await writeVersion(place, VERSIONS[VERSIONS.indexOf(from) - 1]?.version ?? 0);
  });
}

/**
 * Creates the tables, or changes them to the current version. Returns whether they were complete already. Throws MissingSchemaError,
 * NewerTablesError.
 */
export async function migrateAll(manager: EntityManager, dialect: Dialect, names: TableNames): Promise<boolean> {
  await checkSchema(manager.queryRunner!, names);
  return alone(manager, dialect, async (runner) => {
    const place = { runner, names };
    const version = await versionOf(place);
    if (version > CURRENT.version) throw await newer(place, version);
    if (version === CURRENT.version && (await isWhole(place))) return true;
    if (version === 0) {
      await make(place, CURRENT);
      return false;
    }
    // The present version runs again, too, because an interrupted start may have left it incomplete.
    for (const [i, step] of VERSIONS.entries())
      if (step.version >= version && !(await VERSIONS[i + 1]?.hasBegun?.(place))) await raise(place, step);
    return false;
  });
}

/**
 * Checks that the tables exist, are complete, and have the version that this release works with. Throws MissingSchemaError,
 * MissingTablesError, OlderTablesError, NewerTablesError, IncompleteTablesError.
 */
export async function checkTables(runner: QueryRunner, names: TableNames, options: NamingOptions): Promise<void> {
  await checkSchema(runner, names);
  const place = { runner, names };
  const version = await versionOf(place);
  if (version > CURRENT.version) throw await newer(place, version);
  const pending = VERSIONS.filter((step) => step.version > version);
  if (version > 0 && pending.length > 0) throw new OlderTablesError(version, CURRENT.version, pending, options);
  const { absent, parts } = await lacking(place, await CURRENT.tables(place));
  if (absent.length > 0) throw new MissingTablesError(absent, options);
  if (parts.length > 0) throw new IncompleteTablesError(parts, VERSIONS);
}

/** The tables as they are in the database, compared with those that this release needs. */
export interface TablesState {
  /** Their version; 0 if there are none. */
  readonly version: number;
  /** The version that this release needs. */
  readonly needed: number;
  /** The versions that `migrateAll` would go through. */
  readonly pending: readonly SchemaVersion[];
  /** What an interrupted migration has left out of tables of the needed version, in words. */
  readonly missing: readonly string[];
}

/** Compares the tables with those that this release needs. Throws MissingSchemaError, NewerTablesError. */
export async function tablesState(runner: QueryRunner, names: TableNames): Promise<TablesState> {
  await checkSchema(runner, names);
  const place = { runner, names };
  const version = await versionOf(place);
  if (version > CURRENT.version) throw await newer(place, version);
  const pending = VERSIONS.filter((step) => step.version > version);
  const { absent, parts } = pending.length > 0 ? NOTHING : await lacking(place, await CURRENT.tables(place));
  const missing = [
    ...absent.map((table) => `the table ${table}`),
    ...parts.map(({ table, part }) => `${part} of ${table}`),
  ];
  return { version, needed: CURRENT.version, pending, missing };
}

const NOTHING: Awaited<ReturnType<typeof lacking>> = { absent: [], parts: [] };

async function isWhole(place: Place): Promise<boolean> {
  const { absent, parts } = await lacking(place, await CURRENT.tables(place));
  return absent.length + parts.length === 0;
}

async function checkSchema(runner: QueryRunner, { schema }: TableNames): Promise<void> {
  if (schema === undefined || hasOneConnection(runner.dataSource)) return;
  const sql = 'SELECT schema_name AS name FROM information_schema.schemata WHERE schema_name = :schema';
  if ((await select(runner, sql, { schema })).length === 0)
    throw new MissingSchemaError(schema, createSchemaSql(runner.dataSource, schema));
}

/** Runs work that no other process runs at the same time. If the database can roll tables back, all of it is done or nothing. */
function alone<T>(manager: EntityManager, dialect: Dialect, work: (runner: QueryRunner) => Promise<T>): Promise<T> {
  return dialect.exclusively(manager, ({ queryRunner }) => work(queryRunner!));
}

// The time limit of a change of the tables, in milliseconds. It is long, because the time to change a table depends on its size.
const TABLES_PATIENCE = 30 * 60_000;

/** Creates new tables in a version at once. Creating each version after the other would take more steps. */
export async function make(place: Place, wanted: SchemaVersion): Promise<void> {
  await withPatience(place.runner, TABLES_PATIENCE, async () => {
    await complete(place, await wanted.tables(place));
    await wanted.store?.(place);
  });
  await writeVersion(place, wanted.version);
}

/** Changes tables of the previous version to a version. */
export async function raise(place: Place, step: SchemaVersion): Promise<void> {
  await withPatience(place.runner, TABLES_PATIENCE, () => step.up(place));
  await writeVersion(place, step.version);
}

/** The version of the present tables; 0 if there is none. */
async function versionOf(place: Place): Promise<number> {
  const { runner, names } = place;
  if (await runner.hasTable(names.plain.version)) {
    const [row] = await select<{ version: number | string }>(runner, `SELECT version FROM ${names.version}`);
    if (row) return Number(row.version);
  }
  // The first tables had no version.
  return (await runner.hasTable(names.plain.event)) ? v1.version : 0;
}

/** Stores the version of the tables. */
async function writeVersion(place: Place, version: number): Promise<void> {
  const { runner, names } = place;
  if (version <= v1.version) return runner.dropTable(names.plain.version, true);
  const { release } = VERSIONS.find((step) => step.version === version)!;
  const { exact } = await columnTypes(runner);
  const columns = [
    { name: 'version', type: 'int', isPrimary: true },
    { name: 'needs_release', ...exact(32) },
  ];
  await runner.createTable(new Table({ name: names.plain.version, columns }), true);
  await execute(runner, `DELETE FROM ${names.version}`);
  await execute(runner, `INSERT INTO ${names.version} (version, needs_release) VALUES (:version, :release)`, {
    version,
    release,
  });
}

async function newer({ runner, names }: Place, version: number): Promise<NewerTablesError> {
  const [row] = await select<{ needs_release: string }>(runner, `SELECT needs_release FROM ${names.version}`);
  return new NewerTablesError(version, CURRENT.version, row!.needs_release);
}
