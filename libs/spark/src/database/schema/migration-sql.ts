import { randomBytes } from 'node:crypto';
import { DataSource, type QueryRunner } from 'typeorm';
import { execute, select, withNewRunner } from '../statement.js';
import { type TableNames, tableNames } from '../table-names.js';
import { hasOneConnection, isPostgres } from '../traits.js';
import { make, raise, type TablesState, VERSIONS } from './schema.js';
import type { Place } from './schema-version.js';

/**
 * Returns the statements by which `migrateAll` would change the tables, in their order. It does not touch the tables: it changes empty
 * ones of the same version, in a schema of its own that it rolls back (PostgreSQL), in a database of its own that it drops (MariaDB and
 * MySQL, which needs the right to create one), or in memory (SQLite).
 */
export async function migrationSql(
  dataSource: DataSource,
  names: TableNames,
  prefix: string,
  { version, pending }: TablesState,
): Promise<string[]> {
  if (pending.length === 0) return [];
  const scratch = `spark_sql_${randomBytes(6).toString('hex')}`;
  const record = async (runner: QueryRunner, schema: string | undefined) => {
    const place = { runner, names: tableNames(runner.dataSource, prefix, schema) };
    const from = VERSIONS.find((step) => step.version === version);
    if (from) await make(place, from);
    if (from && schema !== undefined) await copyHandler(place, names, from.version);
    return recorded(runner, async () => {
      if (!from) return make(place, VERSIONS.at(-1)!);
      for (const step of pending) await raise(place, step);
    });
  };
  const statements = await inScratch(dataSource, scratch, record);
  const { driver } = dataSource;
  const place = names.schema === undefined ? '' : `${driver.escape(names.schema)}.`;
  return statements.map((statement) => statement.replaceAll(`${driver.escape(scratch)}.`, place));
}

type Recording = (runner: QueryRunner, schema: string | undefined) => Promise<string[]>;

function inScratch(dataSource: DataSource, scratch: string, record: Recording): Promise<string[]> {
  if (hasOneConnection(dataSource)) return inMemory(dataSource, record);
  return withNewRunner(dataSource, (runner) =>
    isPostgres(dataSource) ? inSchema(runner, scratch, record) : inDatabase(runner, scratch, record),
  );
}

async function inMemory({ options }: DataSource, record: Recording): Promise<string[]> {
  const memory = new DataSource({ ...options, database: ':memory:', entities: [], subscribers: [] } as typeof options);
  await memory.initialize();
  try {
    return await withNewRunner(memory, (runner) => record(runner, undefined));
  } finally {
    await memory.destroy();
  }
}

async function inSchema(runner: QueryRunner, scratch: string, record: Recording): Promise<string[]> {
  await runner.startTransaction();
  try {
    await runner.query(`CREATE SCHEMA ${runner.dataSource.driver.escape(scratch)}`);
    return await record(runner, scratch);
  } finally {
    await runner.rollbackTransaction();
  }
}

async function inDatabase(runner: QueryRunner, scratch: string, record: Recording): Promise<string[]> {
  const name = runner.dataSource.driver.escape(scratch);
  const [own] = await select<{ charset: string; collation: string }>(
    runner,
    `SELECT default_character_set_name AS charset, default_collation_name AS collation
     FROM information_schema.schemata WHERE schema_name = DATABASE()`,
  );
  await runner.query(`CREATE DATABASE ${name} CHARACTER SET ${own!.charset} COLLATE ${own!.collation}`);
  try {
    return await record(runner, scratch);
  } finally {
    await runner.query(`DROP DATABASE ${name}`);
  }
}

/** Copies the row of one handler, by which a migration knows whether the tables are in use. */
async function copyHandler({ runner, names }: Place, from: TableNames, version: number): Promise<void> {
  const step = VERSIONS.find((one) => one.version === version)!;
  const tables = await step.tables({ runner, names });
  const { columns } = tables.find(({ name }) => name === names.plain.handler)!;
  const list = columns!.map(({ name }) => name).join(', ');
  await execute(runner, `INSERT INTO ${names.handler} (${list}) SELECT ${list} FROM ${from.handler} LIMIT 1`);
}

const CHANGES = /^\s*(CREATE|ALTER|DROP|INSERT|UPDATE|DELETE|RENAME|COMMENT)\b/i;

/** Runs work, and returns the statements that change something, with their parameters in them. */
async function recorded(runner: QueryRunner, work: () => Promise<void>): Promise<string[]> {
  const statements: string[] = [];
  const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
  const record = (sql: string, parameters?: readonly unknown[], ...rest: unknown[]) => {
    if (CHANGES.test(sql)) statements.push(withParameters(sql, parameters ?? []));
    return query(sql, parameters, ...rest);
  };
  Object.assign(runner, { query: record });
  try {
    await work();
  } finally {
    Object.assign(runner, { query });
  }
  return statements;
}

function withParameters(sql: string, parameters: readonly unknown[]): string {
  let next = 0;
  return sql
    .replaceAll(/\$(\d+)|\?/g, (found, number: string | undefined) => {
      const at = number === undefined ? next++ : Number(number) - 1;
      return at < parameters.length ? literal(parameters[at]) : found;
    })
    .trim();
}

const literal = (value: unknown): string =>
  typeof value === 'number' ? String(value) : `'${String(value).replaceAll(`'`, `''`)}'`;
