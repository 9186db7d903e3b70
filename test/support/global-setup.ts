import { existsSync, mkdtempSync, rmSync } from 'node:fs';
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
    /** The program of a Chromium. Undefined where none is: no npm package carries one. */
    chromium: string | undefined;
  }
}

/** The servers and the browser of this run: those that are given, else those of this machine, else PostgreSQL from its npm package. */
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
  const chromium = foundChromium();
  project.provide('chromium', chromium);
  return async () => {
    // A test file that failed half-way has left its database behind.
    rmSync(folder, { recursive: true, force: true });
    await (embedded ? embedded.stop() : dropDatabases(postgres, prefix));
    if (mariadb) await dropDatabases(mariadb, prefix);
    await disconnect();
    report(`${postgres.version} (${embedded ? 'embedded' : 'server'})`, mariadb && `${mariadb.version} (server)`);
    console.log(chromium ? `browser: ${chromium}` : 'not covered: browsers; there is no Chromium (set TEST_CHROMIUM)');
  };
}

/** The server that is given, which has to answer, or the usual one if it does. */
function found(type: TestServer['type'], given: string | undefined, usual: string): Promise<TestServer | undefined> {
  return given === undefined ? connect(type, usual).catch(() => undefined) : connect(type, given);
}

// The shell has the engine and no windows: a page costs half as much.
const CHROMIUMS = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/google-chrome'];

/** The Chromium that is given, which has to be there, or the one of the system if it is. */
function foundChromium(): string | undefined {
  const given = process.env.TEST_CHROMIUM;
  if (given !== undefined && !existsSync(given))
    throw new Error(`TEST_CHROMIUM is ${given}, but there is no such file.`);
  return given ?? CHROMIUMS.find((path) => existsSync(path));
}

function report(...servers: (string | undefined)[]): void {
  console.log(`databases covered: ${['SQLite', ...servers].filter(Boolean).join(', ')}`);
  if (!servers.includes(undefined)) return;
  console.log('not covered: MariaDB; none answers (set TEST_MARIADB_URL)');
  if (process.env.SPARK_REQUIRE_DATABASES === 'all') process.exitCode = 1;
}
