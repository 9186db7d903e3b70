import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DataSourceOptions } from 'typeorm';
import { inject } from 'vitest';
import { cleanDatabase } from './clean-database.js';
import { makeSparkTables } from './make-spark-tables.js';
import { RecycledDatabases, type ServerDatabase } from './recycled-databases.js';
import { createDatabase, dropDatabase, optionsOf, type TestServer } from './server.js';
import { sqliteDriver } from './sqlite.js';

/** A database of a test's own. */
export interface TestDatabase {
  /** The options of its DataSource, without entities. */
  readonly options: DataSourceOptions;
  drop(): Promise<void>;
}

/** What tests get their databases from. */
export interface TestDatabases {
  readonly name: 'SQLite' | 'PostgreSQL' | 'MariaDB';
  /** A database with Spark's tables, as a boot with `synchronize` makes them. They have no rows. */
  create(): Promise<TestDatabase>;
  /** A new database without tables. */
  createEmpty(): Promise<TestDatabase>;
}

const POOL = 20;

/** The databases that this run covers, for `describe.each`. */
export const databases: TestDatabases[] = [
  { name: 'SQLite', create: () => inFile(withTables()), createEmpty: () => inFile() },
  { name: 'PostgreSQL', ...onServer(inject('postgres')) },
];
const mariadb = inject('mariadb');
if (mariadb) databases.push({ name: 'MariaDB', ...onServer(mariadb) });

async function inFile(from?: Promise<string>): Promise<TestDatabase> {
  const folder = newFolder();
  if (from) copyFileSync(await from, join(folder, 'test.sqlite'));
  return { options: sqlite(folder), drop: async () => rmSync(folder, { recursive: true, force: true }) };
}

let copied: Promise<string> | undefined;

/** The file of a database with Spark's tables, which this process copies. */
function withTables(): Promise<string> {
  const make = async () => {
    const folder = newFolder();
    await makeSparkTables(sqlite(folder));
    return join(folder, 'test.sqlite');
  };
  return (copied ??= make());
}

const newFolder = (): string => mkdtempSync(join(inject('folder'), 'db-'));

const sqlite = (folder: string): DataSourceOptions => ({
  type: 'better-sqlite3',
  database: join(folder, 'test.sqlite'),
  driver: sqliteDriver(),
});

function onServer(server: TestServer): Omit<TestDatabases, 'name'> {
  const options = ({ url }: ServerDatabase) => optionsOf({ ...server, url }, { poolSize: POOL });
  const createNew = async () => {
    const name = inject('prefix') + randomBytes(6).toString('hex');
    return { name, url: await createDatabase(server, name) };
  };
  const recycled = new RecycledDatabases({
    async make() {
      const database = await createNew();
      await makeSparkTables(options(database));
      return database;
    },
    clean: (database) => cleanDatabase(server, database),
    drop: ({ name }) => dropDatabase(server, name),
  });
  return {
    async create() {
      const database = await recycled.take();
      let isBack = false;
      return {
        options: options(database),
        async drop() {
          if (!isBack) recycled.giveBack(database);
          isBack = true;
        },
      };
    },
    async createEmpty() {
      const database = await createNew();
      return { options: options(database), drop: () => dropDatabase(server, database.name) };
    },
  };
}
