import type { QueryRunner } from 'typeorm';

/** An index of a table on PostgreSQL. */
export interface PostgresIndex {
  /** The name of the table as it was given. */
  readonly table: string;
  readonly name: string;
  readonly columnNames: readonly string[];
  /** The columns that it holds besides. */
  readonly included: readonly string[];
  readonly isUnique: boolean;
  /** False for what is left of an index whose creation failed. */
  readonly isValid: boolean;
}

/**
 * Reads the indexes of tables, by their names in SQL. TypeORM cannot: it takes included columns for columns of the key, and leaves out an
 * index if a constraint in another schema has its name.
 */
export async function postgresIndexes(runner: QueryRunner, tables: readonly string[]): Promise<PostgresIndex[]> {
  // All as text: an application may let the driver read other types in its own way.
  const columns = (condition: string) =>
    `(SELECT COALESCE(string_agg(a.attname::text, ',' ORDER BY k.nth), '')
      FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, nth)
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE ${condition})`;
  const rows: Record<keyof PostgresIndex, string>[] = await runner.query(
    `SELECT t.name AS "table", c.relname::text AS name, i.indisunique::text AS "isUnique", i.indisvalid::text AS "isValid",
       ${columns('k.nth <= i.indnkeyatts')} AS "columnNames", ${columns('k.nth > i.indnkeyatts')} AS included
     FROM unnest($1::text[]) t(name) JOIN pg_index i ON i.indrelid = to_regclass(t.name) JOIN pg_class c ON c.oid = i.indexrelid`,
    [tables],
  );
  return rows.map(({ table, name, columnNames, included, isUnique, isValid }) => ({
    table,
    name,
    columnNames: listOf(columnNames),
    included: listOf(included),
    isUnique: isUnique === 'true',
    isValid: isValid === 'true',
  }));
}

const listOf = (text: string): string[] => text.split(',').filter((name) => name !== '');
