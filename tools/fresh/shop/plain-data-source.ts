import { createRequire } from 'node:module';
import { join } from 'node:path';
import { DataSource, type DataSourceOptions } from 'typeorm';

// All in one file and without decorators: what Node.js itself can run of TypeScript.
const { DATABASE = '', SQLITE_DRIVER = '' } = process.env;
const options: DataSourceOptions = DATABASE.startsWith('postgres')
  ? { type: 'postgres', url: DATABASE }
  : {
      type: 'better-sqlite3',
      database: DATABASE,
      driver: createRequire(join(process.cwd(), 'package.json'))(SQLITE_DRIVER) as unknown,
    };

export const dataSource = new DataSource(options);
