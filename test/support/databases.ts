import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { inject } from 'vitest';
import { sqliteDriver } from './sqlite.js';

/** A database of a test's own. */
export interface TestDatabase {
  /** Without entities. */
  readonly options: DataSourceOptions;
  drop(): Promise<void>;
}

const POOL = 20;

async function onServer(options: DataSourceOptions, sql: (name: string) => string, name: string): Promise<void> {
  const server = await new DataSource(options).initialize();
  await server.query(sql(name));
  await server.destroy();
}

const named = () => `spark_test_${process.pid}_${randomBytes(4).toString('hex')}`;

const all = [
  {
    name: 'SQLite',
    url: 'file',
    async create(): Promise<TestDatabase> {
      const folder = mkdtempSync(join(tmpdir(), 'spark-sqlite-'));
      return {
        options: { type: 'better-sqlite3', database: join(folder, 'test.sqlite'), driver: sqliteDriver() },
        async drop() {
          rmSync(folder, { recursive: true, force: true });
        },
      };
    },
  },
  {
    name: 'PostgreSQL',
    url: inject('postgresUrl'),
    async create(): Promise<TestDatabase> {
      const server: DataSourceOptions = { type: 'postgres', url: this.url };
      const name = named();
      await onServer(server, (database) => `CREATE DATABASE ${database}`, name);
      const url = new URL(this.url);
      url.pathname = `/${name}`;
      return {
        options: { type: 'postgres', url: url.href, poolSize: POOL },
        drop: () => onServer(server, (database) => `DROP DATABASE ${database} WITH (FORCE)`, name),
      };
    },
  },
  {
    name: 'MariaDB',
    url: inject('mariadbUrl'),
    async create(): Promise<TestDatabase> {
      const server: DataSourceOptions = { type: 'mariadb', url: this.url };
      const name = named();
      await onServer(server, (database) => `CREATE DATABASE ${database} CHARACTER SET utf8mb4`, name);
      const url = new URL(this.url);
      url.pathname = `/${name}`;
      return {
        options: { type: 'mariadb', url: url.href, poolSize: POOL, charset: 'utf8mb4' },
        drop: () => onServer(server, (database) => `DROP DATABASE ${database}`, name),
      };
    },
  },
];

/** The databases that this run covers, for `describe.each`. */
export const databases = all.filter(({ url }) => url !== '');
