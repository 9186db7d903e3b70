import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { sqliteDriver } from '../apps/challenges/src/sqlite.js';

export type DatabaseName = 'sqlite' | 'postgres' | 'mariadb';

let made = 0;

/** A database of a measurement's own; `drop` removes it. */
export async function ownDatabase(name: DatabaseName): Promise<{ options: DataSourceOptions; drop(): Promise<void> }> {
  if (name === 'sqlite') {
    const folder = mkdtempSync(join(tmpdir(), 'spark-bench-'));
    const options = { type: 'better-sqlite3', database: join(folder, 'bench.sqlite'), driver: sqliteDriver() } as const;
    return { options, drop: async () => rmSync(folder, { recursive: true, force: true }) };
  }
  const url = new URL(
    name === 'postgres'
      ? (process.env.TEST_POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres')
      : (process.env.TEST_MARIADB_URL ?? 'mysql://root@127.0.0.1:3306'),
  );
  const database = `spark_bench_${process.pid}_${++made}`;
  const run = async (sql: string) => {
    const server = await new DataSource({ type: name, url: url.href }).initialize();
    await server.query(sql);
    await server.destroy();
  };
  await run(`CREATE DATABASE ${database}`);
  const own = new URL(url);
  own.pathname = `/${database}`;
  return { options: { type: name, url: own.href, poolSize: 10 }, drop: () => run(`DROP DATABASE ${database}`) };
}
