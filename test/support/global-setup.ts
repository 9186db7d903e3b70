import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startPostgres } from './embedded-postgres.js';
import { connect, disconnect, dropDatabases, type TestServer } from './server.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** What the names of this run's databases begin with. */
    prefix: string;
    /** Where this run's SQLite files are. */
    folder: string;
    postgres: TestServer;
    /** Undefined where none answers: no npm package carries one. */
    mariadb: TestServer | undefined;
  }
}

/** The servers of this run: those that are given, else those of this machine, else PostgreSQL from its npm package. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { TEST_POSTGRES_URL, TEST_MARIADB_URL } = process.env;
  const mariadb = await found('mariadb', TEST_MARIADB_URL, 'mysql://root@127.0.0.1:3306');
  const server = await found('postgres', TEST_POSTGRES_URL, 'postgres://postgres@127.0.0.1:5432/postgres');
  const embedded = server ? undefined : await startPostgres();
  const postgres = server ?? (await connect('postgres', embedded!.url));
  const prefix = `spark_test_${process.pid}_`;
  const folder = mkdtempSync(join(tmpdir(), 'spark-test-'));
  project.provide('prefix', prefix);
  project.provide('folder', folder);
  project.provide('postgres', postgres);
  project.provide('mariadb', mariadb);
  return async () => {
    const recycled = recycledIn(folder);
    // A test file that failed half-way has left its database behind.
    rmSync(folder, { recursive: true, force: true });
    await (embedded ? embedded.stop() : dropDatabases(postgres, prefix));
    if (mariadb) await dropDatabases(mariadb, prefix);
    await disconnect();
    report(`${postgres.version} (${embedded ? 'embedded' : 'server'})`, mariadb && `${mariadb.version} (server)`);
    console.log(recycled);
  };
}

/** The server that is given, which has to answer, or the usual one if it does. */
function found(type: TestServer['type'], given: string | undefined, usual: string): Promise<TestServer | undefined> {
  return given === undefined ? connect(type, usual).catch(() => undefined) : connect(type, given);
}

/** How often tests of this run have used a database on a server again. */
function recycledIn(folder: string): string {
  const file = join(folder, 'counts');
  const counts = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const [made, emptied] = ['made', 'emptied'].map((what) => counts.filter((one) => one === what).length);
  return `databases made: ${made}, used again: ${emptied! - made!}`;
}

function report(...servers: (string | undefined)[]): void {
  console.log(`databases covered: ${['SQLite', ...servers].filter(Boolean).join(', ')}`);
  if (!servers.includes(undefined)) return;
  console.log('not covered: MariaDB; none answers (set TEST_MARIADB_URL)');
  if (process.env.SPARK_REQUIRE_DATABASES === 'all') process.exitCode = 1;
}
