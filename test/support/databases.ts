import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { inject } from 'vitest';
import type { TestServer } from './global-setup.js';
import { sqliteDriver } from './sqlite.js';

/** A database of a test's own. */
export interface TestDatabase {
  /** The options of its DataSource, without entities. */
  readonly options: DataSourceOptions;
  drop(): Promise<void>;
}

const POOL = 20;

/** The databases that this run covers, for `describe.each`. */
export const databases: { name: 'SQLite' | 'PostgreSQL' | 'MariaDB'; create(): Promise<TestDatabase> }[] = [
  { name: 'SQLite', create: inFile },
  { name: 'PostgreSQL', create: () => onServer('postgres', inject('postgres'), ' WITH (FORCE)') },
];
const mariadb = inject('mariadb');
if (mariadb) databases.push({ name: 'MariaDB', create: () => onServer('mariadb', mariadb, '') });

async function inFile(): Promise<TestDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'spark-test-'));
  return {
    options: { type: 'better-sqlite3', database: join(folder, 'test.sqlite'), driver: sqliteDriver() },
    drop: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function onServer(type: 'postgres' | 'mariadb', { url }: TestServer, force: string): Promise<TestDatabase> {
  const name = `spark_test_${process.pid}_${randomBytes(4).toString('hex')}`;
  const run = async (sql: string) => {
    const server = await new DataSource({ type, url }).initialize();
    try {
      await server.query(sql);
    } finally {
      await server.destroy();
    }
  };
  await run(`CREATE DATABASE ${name}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return {
    options: { type, url: own.href, poolSize: POOL },
    drop: () => run(`DROP DATABASE ${name}${force}`),
  };
}
