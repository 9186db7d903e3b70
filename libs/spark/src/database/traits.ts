import type { DataSource, EntityMetadata } from 'typeorm';

// Differences of the databases, for code that has a DataSource and no dialect.

export const isPostgres = ({ options }: DataSource): boolean => options.type === 'postgres';
const isSqlite = ({ options }: DataSource): boolean => options.type === 'better-sqlite3';
const isMysql = ({ options }: DataSource): boolean => options.type === 'mysql' || options.type === 'mariadb';

/** Whether the whole process shares one connection. */
export const hasOneConnection = isSqlite;

/** SQL for a value as text. */
export const castToText = (dataSource: DataSource, sql: string): string =>
  `CAST(${sql} AS ${isMysql(dataSource) ? 'CHAR' : 'text'})`;

/** SQL for the text of a JSON list, given SQL for the text of each part. The type is text, because drivers parse values of the type JSON. */
export function jsonList(dataSource: DataSource, parts: readonly string[]): string {
  if (isMysql(dataSource)) return `CONCAT('[', ${parts.map((part) => `JSON_QUOTE(${part})`).join(`, ',', `)}, ']')`;
  const quote = (part: string) => (isPostgres(dataSource) ? `CAST(to_json(${part}) AS text)` : `json_quote(${part})`);
  return `('[' || ${parts.map(quote).join(` || ',' || `)} || ']')`;
}

/** SQL for a list of rows to compare row values with: `(a, b) IN (…)`. */
export const rowList = (dataSource: DataSource, rows: string): string =>
  isSqlite(dataSource) ? `VALUES ${rows}` : rows;

/** Whether the database ignores blanks at the end of a `char` column. */
export const padsText = (dataSource: DataSource): boolean => !isSqlite(dataSource);

/** The text of a whole number as a parameter that the database compares by the column's own type. */
export function wholeNumberParameter(dataSource: DataSource, text: string): string | number | bigint {
  if (isPostgres(dataSource)) return text;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

/** The schema (PostgreSQL) or database (MariaDB, SQLite) of an entity's table; undefined if it is the DataSource's own. */
export function placeOf({ dataSource, schema, database }: EntityMetadata): string | undefined {
  const { options } = dataSource;
  const place = isPostgres(dataSource) ? schema : database;
  const own = options.type === 'postgres' ? (options.schema ?? 'public') : options.database;
  return place === own ? undefined : place;
}

/** The statement that creates a schema. */
export const createSchemaSql = (dataSource: DataSource, schema: string): string =>
  `CREATE ${isPostgres(dataSource) ? 'SCHEMA' : 'DATABASE'} ${dataSource.driver.escape(schema)}`;

/** How processes can notify one another: by NOTIFY, by the file's counter of changes, or not at all. */
export function notificationsOf(dataSource: DataSource): 'notify' | 'file' | 'none' {
  if (isPostgres(dataSource)) return 'notify';
  return isSqlite(dataSource) && !isInMemory(dataSource) ? 'file' : 'none';
}

/** Whether the database is in the memory of the process, so that no other connection sees it. */
export function isInMemory(dataSource: DataSource): boolean {
  const { database } = dataSource.options as { database: string };
  return isSqlite(dataSource) && (database === '' || database.includes(':memory:'));
}

/** The isolation that the options of a DataSource name for its transactions; undefined if they name none. */
export const namedIsolation = ({ options }: DataSource): string | undefined =>
  (options as { isolationLevel?: string }).isolationLevel;
