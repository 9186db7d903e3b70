import { Table, type TableColumnOptions, TableIndex, type TableIndexOptions, type TableOptions } from 'typeorm';
import { isPostgres } from '../traits.js';
import { columnTypes } from './column-types.js';
import { postgresIndexes } from './postgres-indexes.js';
import type { Place } from './schema-version.js';

/** A missing part of a table, in words. */
export interface MissingPart {
  readonly table: string;
  readonly part: string;
}

/** Creates the tables, columns and indexes that are missing. An index counts as present if any index covers its columns. */
export async function complete({ runner }: Place, tables: readonly TableOptions[]): Promise<void> {
  const present = await presentOf(runner, tables);
  for (const wanted of tables) {
    const table = present.get(bare(wanted.name));
    if (!table) await runner.createTable(new Table(wanted));
    else {
      for (const column of missingColumns(wanted, table))
        await runner.query(`ALTER TABLE ${escaped(runner, wanted.name)} ADD COLUMN ${columnSql(runner, column)}`);
      for (const index of missingIndexes(wanted, table)) await runner.createIndex(wanted.name, new TableIndex(index));
    }
  }
}

/** Drops a column, unless that is done already. */
export async function dropColumn({ runner }: Place, table: string, column: string): Promise<void> {
  if (!(await runner.getTable(table))?.findColumnByName(column)) return;
  await runner.query(`ALTER TABLE ${escaped(runner, table)} DROP COLUMN ${runner.dataSource.driver.escape(column)}`);
}

/** The names of missing tables, and the missing parts of the others. */
export async function lacking({ runner }: Place, tables: readonly TableOptions[]) {
  const present = await presentOf(runner, tables);
  const absent: string[] = [];
  const parts: MissingPart[] = [];
  for (const wanted of tables) {
    const table = present.get(bare(wanted.name));
    if (!table) absent.push(wanted.name);
    else {
      for (const { name } of missingColumns(wanted, table))
        parts.push({ table: wanted.name, part: `the column ${name}` });
      for (const { columnNames, isUnique } of missingIndexes(wanted, table)) {
        const kind = isUnique ? 'unique index' : 'index';
        parts.push({ table: wanted.name, part: `the ${kind} on (${columnNames.join(', ')})` });
      }
    }
  }
  return { absent, parts };
}

/** A column in the syntax of CREATE TABLE and ALTER TABLE. */
export function columnSql({ dataSource }: Place['runner'], column: TableColumnOptions): string {
  const { name, type, length, charset, collation, isNullable = false, default: value } = column;
  const order = isPostgres(dataSource) && collation ? `"${collation}"` : collation;
  return [
    dataSource.driver.escape(name),
    length ? `${type}(${length})` : type,
    charset && `CHARACTER SET ${charset}`,
    order && `COLLATE ${order}`,
    isNullable ? 'NULL' : 'NOT NULL',
    value !== undefined && `DEFAULT ${value}`,
  ]
    .filter(Boolean)
    .join(' ');
}

/** The name of a table, escaped for SQL. */
export const escaped = ({ dataSource }: Place['runner'], table: string): string =>
  table
    .split('.')
    .map((part) => dataSource.driver.escape(part))
    .join('.');

/** A table that exists, with its indexes. */
interface PresentTable {
  readonly table: Table;
  readonly indexes: readonly PresentIndex[];
  /** Whether statements name an index: those of MariaDB and MySQL do, with FORCE INDEX. */
  readonly areNamed: boolean;
}

interface PresentIndex {
  readonly name?: string | undefined;
  readonly columnNames: readonly string[];
  readonly isUnique: boolean;
}

async function presentOf(runner: Place['runner'], tables: readonly TableOptions[]): Promise<Map<string, PresentTable>> {
  const present = await runner.getTables(tables.map(({ name }) => name));
  const own = await ownIndexes(runner, tables);
  const { partialIndexes } = await columnTypes(runner);
  return new Map(
    present.map((table) => {
      const indexes = own?.get(bare(table.name)) ?? indexesOf(table);
      return [bare(table.name), { table, indexes, areNamed: !partialIndexes }];
    }),
  );
}

/** The indexes of tables, by the bare names of these, where TypeORM does not read them right. */
async function ownIndexes(runner: Place['runner'], tables: readonly TableOptions[]) {
  if (!isPostgres(runner.dataSource)) return undefined;
  const named = new Map(tables.map(({ name }) => [escaped(runner, name), bare(name)]));
  const indexes = new Map<string, PresentIndex[]>([...named.values()].map((name) => [name, []]));
  for (const index of await postgresIndexes(runner, [...named.keys()]))
    if (index.isValid) indexes.get(named.get(index.table)!)!.push(index);
  return indexes;
}

const indexesOf = ({ indices, uniques }: Table): PresentIndex[] => [
  ...indices,
  ...uniques.map(({ name, columnNames }) => ({ name, columnNames, isUnique: true })),
];

// Some databases include the schema in the name.
const bare = (table: string): string => table.split('.').at(-1)!;

const missingColumns = ({ columns = [] }: TableOptions, { table }: PresentTable): TableColumnOptions[] =>
  columns.filter(({ name }) => !table.findColumnByName(name));

function missingIndexes({ indices = [] }: TableOptions, { indexes, areNamed }: PresentTable): TableIndexOptions[] {
  // TypeORM does not always return the columns of an index in their order.
  const present = indexes.map(({ name, columnNames, isUnique }) => ({ name, columns: new Set(columnNames), isUnique }));
  return indices.filter(({ name, columnNames, isUnique = false }) => {
    const covers = ({ columns, ...index }: (typeof present)[number]) =>
      columnNames.every((column) => columns.has(column)) &&
      (!isUnique || (index.isUnique && columns.size === columnNames.length));
    return !present.some((index) => covers(index) && (index.name === name || !areNamed));
  });
}
