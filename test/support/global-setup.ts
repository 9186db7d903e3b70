import { DataSource } from 'typeorm';
import type { TestProject } from 'vitest/node';
import { startPostgres } from './embedded-postgres.js';

/** A database server that tests make databases of their own on. */
export interface TestServer {
  readonly url: string;
  /** As it calls itself, for the run's last lines. */
  readonly version: string;
}

declare module 'vitest' {
  interface ProvidedContext {
    postgres: TestServer;
    /** Undefined where none answers: no npm package carries one. */
    mariadb: TestServer | undefined;
  }
}

/** The servers of this run: those that are given, else those of this machine, else PostgreSQL from its npm package. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const mariadb = await answering('mariadb', process.env.TEST_MARIADB_URL ?? 'mysql://root@127.0.0.1:3306');
  const given = await answering(
    'postgres',
    process.env.TEST_POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres',
  );
  const embedded = given ? undefined : await startPostgres();
  const postgres = given ?? (await answering('postgres', embedded!.url))!;
  project.provide('postgres', postgres);
  project.provide('mariadb', mariadb);
  return async () => {
    await embedded?.stop();
    const origin = embedded ? 'embedded' : 'server';
    const covered = ['SQLite', `${postgres.version} (${origin})`, ...(mariadb ? [`${mariadb.version} (server)`] : [])];
    console.log(`databases covered: ${covered.join(', ')}`);
    if (mariadb) return;
    console.log('not covered: MariaDB; none answers (set TEST_MARIADB_URL)');
    if (process.env.SPARK_REQUIRE_DATABASES === 'all') process.exitCode = 1;
  };
}

async function answering(type: 'postgres' | 'mariadb', url: string): Promise<TestServer | undefined> {
  const server = new DataSource({ type, url, connectTimeoutMS: 2_000, connectTimeout: 2_000 });
  try {
    await server.initialize();
    const [{ version }] = await server.query('SELECT version() AS version');
    const number = /[\d.]+/.exec(String(version))![0];
    return { url, version: `${type === 'postgres' ? 'PostgreSQL' : 'MariaDB'} ${number}` };
  } catch {
    return undefined;
  } finally {
    if (server.isInitialized) await server.destroy();
  }
}
