import type { DataSource } from 'typeorm';
import { UnsupportedDatabaseError } from '../error/unsupported-database.error.js';
import type { Dialect } from './dialect.js';
import { MysqlDialect } from './mysql/mysql.js';
import { PostgresDialect } from './postgres/postgres.js';
import { SqliteDialect } from './sqlite/sqlite.js';
import type { TableNames } from './table-names.js';

/** The dialect of a DataSource. Throws UnsupportedDatabaseError. */
export function dialectOf(dataSource: DataSource, tables: TableNames, prepare = true): Dialect {
  const { type } = dataSource.options;
  if (type === 'postgres') return new PostgresDialect(tables, prepare);
  if (type === 'mysql' || type === 'mariadb') return new MysqlDialect(tables);
  if (type === 'better-sqlite3') return new SqliteDialect(tables);
  throw new UnsupportedDatabaseError(type);
}
