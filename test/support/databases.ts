import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DataSourceOptions } from 'typeorm';
import { inject } from 'vitest';
import { createDatabase, dropDatabase, type TestServer } from './server.js';
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
  { name: 'PostgreSQL', create: onServer(inject('postgres')) },
];
const mariadb = inject('mariadb');
if (mariadb) databases.push({ name: 'MariaDB', create: onServer(mariadb) });

async function inFile(): Promise<TestDatabase> {
  const folder = mkdtempSync(join(inject('folder'), 'db-'));
  return {
    options: { type: 'better-sqlite3', database: join(folder, 'test.sqlite'), driver: sqliteDriver() },
    drop: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Databases on a server. The next one is made while a test runs, and the last one is dropped meanwhile. */
function onServer(server: TestServer): () => Promise<TestDatabase> {
  const make = async () => {
    const name = inject('prefix') + randomBytes(6).toString('hex');
    return { name, url: await createDatabase(server, name) };
  };
  let next: ReturnType<typeof make> | undefined;
  let dropped: Promise<void> | undefined;
  return async () => {
    const made = next ?? make();
    next = make();
    next.catch(() => undefined);
    // Here it fails if the last one could not be dropped.
    await dropped;
    const { name, url } = await made;
    return {
      options: { type: server.type, url, poolSize: POOL },
      drop: async () => {
        dropped = dropDatabase(server, name);
        dropped.catch(() => undefined);
      },
    };
  };
}
