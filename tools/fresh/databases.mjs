import { randomUUID } from 'node:crypto';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { run } from './run.mjs';

const SERVER = process.env.TEST_POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres';
const ROOT = resolve(import.meta.dirname, '../..');

/** Creates an empty database of PostgreSQL. Returns undefined if the server does not answer. */
export async function postgres() {
  const name = `spark_fresh_${randomUUID().slice(0, 8)}`;
  const isMade = await query(`CREATE DATABASE ${name}`).then(
    () => true,
    (error) => {
      if (process.env.SPARK_REQUIRE_DATABASES) throw error;
      return false;
    },
  );
  if (!isMade) return undefined;
  const url = new URL(SERVER);
  url.pathname = `/${name}`;
  return { name: 'PostgreSQL', env: { DATABASE: url.href }, drop: () => query(`DROP DATABASE ${name} WITH (FORCE)`) };
}

async function query(sql) {
  const client = new pg.Client({ connectionString: SERVER, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** An empty database of SQLite, in the folder of an application. */
export const sqlite = (folder, driver) => ({
  name: 'SQLite',
  env: { DATABASE: join(folder, `${randomUUID()}.sqlite`), SQLITE_DRIVER: driver },
  drop: async () => {},
});

/**
 * Finds a driver of SQLite that a Node.js can load: the one with a Node-API binary in its package, or else the one that this repository
 * has compiled. On a version that neither is for, there is none.
 */
export async function sqliteDriver(folder, node) {
  const script = (driver) =>
    `const D = require(${JSON.stringify(driver)}); const d = new D(':memory:'); d.prepare('SELECT 1').get(); d.close();`;
  for (const driver of ['better-sqlite3-napi', join(ROOT, 'node_modules/better-sqlite3')]) {
    const { code } = await run(node, ['-e', script(driver)], { cwd: folder });
    if (code === 0) return driver;
  }
  return undefined;
}
