import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { DataSourceOptions } from 'typeorm';

/** The database of this run: the URL of one of PostgreSQL, or a file of SQLite, with the package of its driver. */
export function database(): DataSourceOptions {
  const { DATABASE = '', SQLITE_DRIVER = '' } = process.env;
  if (DATABASE.startsWith('postgres')) return { type: 'postgres', url: DATABASE };
  const driver: unknown = createRequire(join(process.cwd(), 'package.json'))(SQLITE_DRIVER);
  return { type: 'better-sqlite3', database: DATABASE, driver };
}
