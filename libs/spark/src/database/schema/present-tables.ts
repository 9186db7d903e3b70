import type { QueryRunner } from 'typeorm';
import { hasOneConnection, isPostgres } from '../traits.js';
import { postgresIndexes } from './postgres-indexes.js';

/** A table that exists. */
export interface PresentTable {
  readonly columns: ReadonlySet<string>;
  /** All but that of the primary key. */
  readonly indexes: readonly PresentIndex[];
}

export interface PresentIndex {
  readonly name: string;
  /** In their order. */
  readonly columnNames: readonly string[];
  readonly isUnique: boolean;
}

/** A column of a table, or of an index of it. */
interface Part {
  readonly table: string;
  readonly column: string;
  readonly index?: string;
  readonly isUnique?: unknown;
}

/**
 * Reads tables by their names, with or without the schema, which is the same for all of them. Returns those that exist, by their names
 * without it. It takes two statements; `getTables` of TypeORM sends up to a hundred, and slow ones.
 */
export async function presentTables(
  runner: QueryRunner,
  names: readonly string[],
): Promise<ReadonlyMap<string, PresentTable>> {
  const [columns, indexed] = await partsOf(runner, names.map(bare), schemaOf(names[0]!));
  const tables = new Map<string, { columns: Set<string>; indexes: Map<string, PresentIndex> }>();
  for (const { table, column } of columns) {
    if (!tables.has(table)) tables.set(table, { columns: new Set(), indexes: new Map() });
    tables.get(table)!.columns.add(column);
  }
  for (const { table, column, index, isUnique } of indexed) {
    const { indexes } = tables.get(table)!;
    const before = indexes.get(index!)?.columnNames ?? [];
    indexes.set(index!, { name: index!, columnNames: [...before, column], isUnique: Number(isUnique) === 1 });
  }
  return new Map([...tables].map(([name, table]) => [name, { ...table, indexes: [...table.indexes.values()] }]));
}

/** The name of a table without its schema. */
export const bare = (table: string): string => table.split('.').at(-1)!;

/** The name of a table, escaped for SQL. */
export const escaped = ({ dataSource }: QueryRunner, table: string): string =>
  table
    .split('.')
    .map((part) => dataSource.driver.escape(part))
    .join('.');

const schemaOf = (table: string): string | null => (table.includes('.') ? table.split('.')[0]! : null);

function partsOf(runner: QueryRunner, tables: readonly string[], schema: string | null): Promise<[Part[], Part[]]> {
  if (isPostgres(runner.dataSource)) return ofPostgres(runner, tables, schema);
  return hasOneConnection(runner.dataSource) ? ofSqlite(runner, tables) : ofMysql(runner, tables, schema);
}

async function ofPostgres(
  runner: QueryRunner,
  tables: readonly string[],
  schema: string | null,
): Promise<[Part[], Part[]]> {
  const columns: Part[] = await runner.query(
    `SELECT c.relname::text AS "table", a.attname::text AS "column"
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = COALESCE($2::text, current_schema()::text)
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND c.relname = ANY($1::text[])`,
    [tables, schema],
  );
  const pathOf = (table: string) => escaped(runner, schema === null ? table : `${schema}.${table}`);
  const paths = new Map([...new Set(columns.map(({ table }) => table))].map((table) => [pathOf(table), table]));
  const indexes = (await postgresIndexes(runner, [...paths.keys()])).filter(({ isValid }) => isValid);
  const indexed = indexes.flatMap(({ table, name, columnNames, isUnique }) =>
    columnNames.map((column) => ({ table: paths.get(table)!, index: name, column, isUnique })),
  );
  return [columns, indexed];
}

async function ofMysql(
  runner: QueryRunner,
  tables: readonly string[],
  schema: string | null,
): Promise<[Part[], Part[]]> {
  const condition = `table_schema = COALESCE(?, DATABASE()) AND table_name IN (${tables.map(() => '?').join(', ')})`;
  const columns = `SELECT table_name AS \`table\`, column_name AS \`column\` FROM information_schema.columns WHERE ${condition}`;
  const indexed = `SELECT table_name AS \`table\`, index_name AS \`index\`, column_name AS \`column\`, 1 - non_unique AS isUnique
    FROM information_schema.statistics WHERE ${condition} AND index_name <> 'PRIMARY' ORDER BY index_name, seq_in_index`;
  return [await runner.query(columns, [schema, ...tables]), await runner.query(indexed, [schema, ...tables])];
}

async function ofSqlite(runner: QueryRunner, tables: readonly string[]): Promise<[Part[], Part[]]> {
  const condition = `m.type = 'table' AND m.name IN (${tables.map(() => '?').join(', ')})`;
  const columns = `SELECT m.name AS "table", c.name AS "column" FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE ${condition}`;
  const indexed = `SELECT m.name AS "table", i.name AS "index", c.name AS "column", i."unique" AS "isUnique"
    FROM sqlite_master m JOIN pragma_index_list(m.name) i JOIN pragma_index_info(i.name) c
    WHERE ${condition} AND i.origin <> 'pk' ORDER BY i.name, c.seqno`;
  return [await runner.query(columns, [...tables]), await runner.query(indexed, [...tables])];
}
