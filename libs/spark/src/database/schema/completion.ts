import { Table, type TableColumnOptions, TableIndex, type TableIndexOptions, type TableOptions } from 'typeorm';
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
  const order = dataSource.options.type === 'postgres' && collation ? `"${collation}"` : collation;
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

async function presentOf(runner: Place['runner'], tables: readonly TableOptions[]): Promise<Map<string, Table>> {
  const present = await runner.getTables(tables.map(({ name }) => name));
  return new Map(present.map((table) => [bare(table.name), table]));
}

// Some databases include the schema in the name.
const bare = (table: string): string => table.split('.').at(-1)!;

const missingColumns = ({ columns = [] }: TableOptions, found: Table): TableColumnOptions[] =>
  columns.filter(({ name }) => !found.findColumnByName(name));

function missingIndexes({ indices = [] }: TableOptions, found: Table): TableIndexOptions[] {
  const present = [
    ...found.indices,
    ...found.uniques.map(({ columnNames }) => ({ columnNames, isUnique: true })),
    // TypeORM does not always return the columns of an index in their order.
  ].map(({ columnNames, isUnique }) => ({ columns: new Set(columnNames), isUnique }));
  return indices.filter(({ columnNames, isUnique = false }) => {
    const covers = ({ columns, ...index }: (typeof present)[number]) =>
      columnNames.every((name) => columns.has(name)) &&
      (!isUnique || (index.isUnique && columns.size === columnNames.length));
    return !present.some(covers);
  });
}
