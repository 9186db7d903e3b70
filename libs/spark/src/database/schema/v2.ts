import { Table, type TableColumnOptions, type TableIndexOptions, type TableOptions } from 'typeorm';
import { columnTypes, exactCollation } from './column-types.js';
import { columnSql, complete } from './completion.js';
import { escaped } from './present-tables.js';
import { agendaOf } from './former-names.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v1 } from './v1.js';

/**
 * Version 2 adds claims of rechecks, handlers by name and version, and room for the names of tables. Processes of the previous release
 * can still insert rows, because every new column may be left out.
 */
export const v2: SchemaVersion = {
  version: 2,
  migration: 'VersionSparkTables1795860000000',
  release: '0.2.0',
  tables,

  async up(place) {
    const { type } = place.runner.dataSource.options;
    if (type === 'better-sqlite3') await versionHandlersOfSqlite(place);
    await complete(place, await tables(place));
    if (type === 'postgres') await alterPostgres(place);
    else if (type !== 'better-sqlite3') await alterMysql(place);
  },

  async down(place) {
    const { runner, names } = place;
    await keepOneVersion(place);
    if (runner.dataSource.options.type === 'better-sqlite3') await unversionHandlersOfSqlite(place);
    else {
      await keyHandlersBy(place, ['name']);
      await dropColumns(place, names.plain.handler, ADDED.handler);
    }
    await dropColumns(place, agendaOf(names).plain, ADDED.agenda);
  },
};

const ENTITY = '192';
const ADDED = { agenda: ['taken_by', 'taken_until'], handler: ['version', 'aliases'] };

async function tables(place: Place): Promise<TableOptions[]> {
  const { exact, longText } = await columnTypes(place.runner);
  const { plain } = place.names;
  const { type } = place.runner.dataSource.options;
  const changed = (column: TableColumnOptions) => ({
    ...column,
    // SQLite ignores lengths of columns.
    ...(column.name === 'entity' && type !== 'better-sqlite3' ? { length: ENTITY } : {}),
    ...(column.type === 'longtext' ? { charset: 'utf8mb4' } : {}),
  });
  const added: Record<string, TableColumnOptions[]> = {
    [agendaOf(place.names).plain]: [
      { name: 'taken_by', ...exact(64), isNullable: true },
      { name: 'taken_until', type: 'bigint', isNullable: true },
    ],
    [plain.handler]: [
      { name: 'version', ...exact(16), isPrimary: true, default: `''` },
      { name: 'aliases', ...longText, isNullable: true },
    ],
  };
  const indices: Record<string, TableIndexOptions[]> = {};
  return (await v1.tables(place)).map((table) => ({
    ...table,
    columns: [...table.columns!, ...(added[table.name] ?? [])].map(changed),
    indices: [...(table.indices ?? []), ...(indices[table.name] ?? [])],
  }));
}

async function alterPostgres(place: Place): Promise<void> {
  const { runner, names } = place;
  for (const table of [names.event, agendaOf(names).sql])
    await runner.query(`ALTER TABLE ${table} ALTER COLUMN entity TYPE varchar(${ENTITY}) COLLATE "C"`);
  await keyHandlersBy(place, ['name', 'version']);
}

// MariaDB and MySQL commit each of these statements by itself.
async function alterMysql(place: Place): Promise<void> {
  const { runner, names } = place;
  const entity = `entity varchar(${ENTITY}) CHARACTER SET utf8mb4 COLLATE ${await exactCollation(runner)}`;
  await runner.query(`ALTER TABLE ${names.event} MODIFY ${entity} NULL`);
  await runner.query(`ALTER TABLE ${agendaOf(names).sql} MODIFY ${entity} NOT NULL`);
  await keyHandlersBy(place, ['name', 'version']);
  const texts = [
    ['event', 'context', 'NULL'],
    ['delivery', 'last_error', 'NULL'],
    ['handler', 'pattern', 'NOT NULL'],
  ] as const;
  for (const [table, column, nullable] of texts) {
    const found = (await runner.getTable(names.plain[table]))!.findColumnByName(column);
    // A large table is rewritten only if the database's default was another one.
    if (found?.charset === 'utf8mb4') continue;
    await runner.query(`ALTER TABLE ${names[table]} MODIFY ${column} longtext CHARACTER SET utf8mb4 ${nullable}`);
  }
}

async function keyHandlersBy({ runner, names }: Place, columns: readonly string[]): Promise<void> {
  const { primaryColumns } = (await runner.getTable(names.plain.handler))!;
  const key = primaryColumns.map(({ name }) => name);
  if (key.length === columns.length && key.every((name) => columns.includes(name))) return;
  const constraint = runner.dataSource.options.type === 'postgres' && (await primaryConstraint(runner, names.handler));
  const drop = key.length === 0 ? [] : [constraint ? `DROP CONSTRAINT "${constraint}"` : 'DROP PRIMARY KEY'];
  const add = `ADD PRIMARY KEY (${columns.join(', ')})`;
  await runner.query(`ALTER TABLE ${names.handler} ${[...drop, add].join(', ')}`);
}

async function primaryConstraint(runner: Place['runner'], table: string): Promise<string | undefined> {
  const sql = `SELECT conname FROM pg_constraint WHERE conrelid = CAST($1 AS regclass) AND contype = 'p'`;
  const [row] = (await runner.query(sql, [table])) as { conname: string }[];
  return row?.conname;
}

async function versionHandlersOfSqlite(place: Place): Promise<void> {
  const { runner, names } = place;
  const found = await runner.getTable(names.plain.handler);
  if (!found || found.findColumnByName('version')) return;
  const wanted = (await tables(place)).find(({ name }) => name === names.plain.handler)!;
  await rebuild(place, wanted, found);
}

async function unversionHandlersOfSqlite(place: Place): Promise<void> {
  const { runner, names } = place;
  const wanted = (await v1.tables(place)).find(({ name }) => name === names.plain.handler)!;
  await rebuild(place, wanted, (await runner.getTable(names.plain.handler))!);
}

// SQLite cannot change a primary key, so the table is created anew.
async function rebuild({ runner }: Place, wanted: TableOptions, found: Table): Promise<void> {
  const next = `${wanted.name}_next`;
  const [from, to] = [escaped(runner, wanted.name), escaped(runner, next)];
  const { columns } = wanted;
  const key = columns!.filter(({ isPrimary }) => isPrimary).map(({ name }) => name);
  const parts = [...columns!.map((column) => columnSql(runner, column)), `PRIMARY KEY (${key.join(', ')})`];
  const both = columns!.filter(({ name }) => found.findColumnByName(name)).map(({ name }) => name);
  await runner.query(`CREATE TABLE ${to} (${parts.join(', ')})`);
  await runner.query(`INSERT INTO ${to} (${both.join(', ')}) SELECT ${both.join(', ')} FROM ${from}`);
  await runner.query(`DROP TABLE ${from}`);
  await runner.query(`ALTER TABLE ${to} RENAME TO ${from}`);
}

/** Keeps the version of each handler that was seen last, and removes the others. */
async function keepOneVersion({ runner, names }: Place): Promise<void> {
  const handler = names.handler;
  const rows = (await runner.query(
    `SELECT name, version FROM ${handler} ORDER BY name, last_seen_at DESC, version`,
  )) as { name: string; version: string }[];
  const { driver } = runner.dataSource;
  const seen = new Set<string>();
  for (const { name, version } of rows) {
    if (!seen.has(name)) {
      seen.add(name);
      continue;
    }
    const sql = `DELETE FROM ${handler} WHERE name = :name AND version = :version`;
    await runner.query(...driver.escapeQueryWithParameters(sql, { name, version }));
  }
}

async function dropColumns({ runner }: Place, table: string, columns: readonly string[]): Promise<void> {
  const found = await runner.getTable(table);
  for (const name of columns)
    if (found?.findColumnByName(name))
      await runner.query(`ALTER TABLE ${escaped(runner, table)} DROP COLUMN ${runner.dataSource.driver.escape(name)}`);
}
