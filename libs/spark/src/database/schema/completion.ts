import { Table, type TableColumnOptions, TableIndex, type TableIndexOptions, type TableOptions } from 'typeorm';
import { isPostgres } from '../traits.js';
import { columnTypes } from './column-types.js';
import { bare, escaped, type PresentTable, presentTables } from './present-tables.js';
import type { Place } from './schema-version.js';

/** A missing part of a table, in words. */
export interface MissingPart {
  readonly table: string;
  readonly part: string;
}

/** Creates the tables, columns and indexes that are missing. An index counts as present if any index covers its columns. */
export async function complete({ runner }: Place, tables: readonly TableOptions[]): Promise<void> {
  const { present, areNamed } = await presentOf(runner, tables);
  for (const wanted of tables) {
    const table = present.get(bare(wanted.name));
    if (!table) await runner.createTable(new Table(wanted));
    else {
      for (const column of missingColumns(wanted, table))
        await runner.query(`ALTER TABLE ${escaped(runner, wanted.name)} ADD COLUMN ${columnSql(runner, column)}`);
      for (const index of missingIndexes(wanted, table, areNamed))
        await runner.createIndex(wanted.name, new TableIndex(index));
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
  const { present, areNamed } = await presentOf(runner, tables);
  const absent: string[] = [];
  const parts: MissingPart[] = [];
  for (const wanted of tables) {
    const table = present.get(bare(wanted.name));
    if (!table) absent.push(wanted.name);
    else {
      for (const { name } of missingColumns(wanted, table))
        parts.push({ table: wanted.name, part: `the column ${name}` });
      for (const { columnNames, isUnique } of missingIndexes(wanted, table, areNamed)) {
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

/** The tables that exist. `areNamed`: whether statements name an index: those of MariaDB and MySQL do, with FORCE INDEX. */
async function presentOf(runner: Place['runner'], tables: readonly TableOptions[]) {
  const names = tables.map(({ name }) => name);
  return { present: await presentTables(runner, names), areNamed: !(await columnTypes(runner)).partialIndexes };
}

const missingColumns = ({ columns = [] }: TableOptions, present: PresentTable): TableColumnOptions[] =>
  columns.filter(({ name }) => !present.columns.has(name));

function missingIndexes({ indices = [] }: TableOptions, present: PresentTable, areNamed: boolean): TableIndexOptions[] {
  const indexes = present.indexes.map(({ columnNames, ...index }) => ({ ...index, columns: new Set(columnNames) }));
  return indices.filter(({ name, columnNames, isUnique = false }) => {
    const covers = ({ columns, ...index }: (typeof indexes)[number]) =>
      columnNames.every((column) => columns.has(column)) &&
      (!isUnique || (index.isUnique && columns.size === columnNames.length));
    return !indexes.some((index) => covers(index) && (index.name === name || !areNamed));
  });
}
