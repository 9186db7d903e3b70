import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, type EntityManager } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { Dialect } from '../../libs/spark/src/database/dialect.js';
import { dialectOf } from '../../libs/spark/src/database/dialects.js';
import { migrateAll } from '../../libs/spark/src/database/schema/schema.js';
import { serializeSqlite } from '../../libs/spark/src/database/sqlite/sqlite-serializer.js';
import { execute, withNewRunner } from '../../libs/spark/src/database/statement.js';
import { tableNames, type TableNames } from '../../libs/spark/src/database/table-names.js';
import { hasOneConnection } from '../../libs/spark/src/database/traits.js';
import { Transactions } from '../../libs/spark/src/database/transactions.js';
import type { TestDatabase } from './databases.js';
import { QueryLog } from './query-log.js';
import { Row } from './row.entity.js';

/** Two processes on one database that has Spark's tables and an application's table, and the dialect of that database. */
export interface Processes {
  readonly dialect: Dialect;
  readonly tables: TableNames;
  readonly db: DataSource;
  /** The statements that `db` sends. */
  readonly log: QueryLog;
  /** Spark's own transactions on `db`. */
  readonly own: Transactions;
  readonly other: DataSource;
  /** Connects without what Spark does to SQLite: whoever finds it locked gets its error at once. */
  connectPlainly(): Promise<DataSource>;
  /**
   * Runs work in a transaction of `other` that stays open until it is ended: by the test, or after it. Its isolation is that of an
   * application's transactions unless it is given.
   */
  hold<T>(work: (manager: EntityManager) => Promise<T>, isolation?: Dialect['isolation']): Promise<Held<T>>;
}

/** A transaction that is open. */
interface Held<T> {
  /** What its work has returned. */
  readonly result: T;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

const LOCK_TIMEOUT = 10_000;

/** Makes the processes before the tests of a file, and empties their tables before each. */
export function processesOn(create: () => Promise<TestDatabase>): Processes {
  let database: TestDatabase;
  const open: DataSource[] = [];
  const held: Held<unknown>[] = [];
  const log = new QueryLog();

  async function connect(more: object): Promise<DataSource> {
    const dataSource = new DataSource({ ...database.options, entities: [Row], ...more });
    open.push(await dataSource.initialize());
    return dataSource;
  }
  async function connectSafely(more: object): Promise<DataSource> {
    const dataSource = await connect(more);
    if (hasOneConnection(dataSource)) serializeSqlite(dataSource, { lockTimeout: LOCK_TIMEOUT });
    return dataSource;
  }

  const processes = {
    log,
    connectPlainly: () => connect({ timeout: 0 }),
    hold: async <T>(work: (manager: EntityManager) => Promise<T>, isolation?: Dialect['isolation']) => {
      const transaction = await holdOpen(processes.other, work, isolation);
      held.push(transaction);
      return transaction;
    },
  } as Processes;

  beforeAll(async () => {
    database = await create();
    const db = await connectSafely({ synchronize: true, logger: log });
    const tables = tableNames(db, 'spark_');
    const dialect = dialectOf(db, tables);
    await withNewRunner(db, ({ manager }) => migrateAll(manager, dialect, tables));
    Object.assign(processes, {
      dialect,
      tables,
      db,
      own: new Transactions(db, dialect),
      other: await connectSafely({}),
    });
  });
  beforeEach(async () => {
    const { db, tables } = processes;
    const filled = [
      tables.event,
      tables.delivery,
      tables.recheck,
      tables.handler,
      tables.group,
      tables.pause,
      tables.limit,
    ];
    for (const table of [...filled, tableOfRows(db)]) await execute(db.manager, `DELETE FROM ${table}`);
  });
  afterEach(async () => {
    for (const transaction of held.splice(0)) await transaction.rollback();
  });
  afterAll(async () => {
    for (const dataSource of open) await dataSource.destroy();
    await database.drop();
  });
  return processes;
}

async function holdOpen<T>(
  dataSource: DataSource,
  work: (manager: EntityManager) => Promise<T>,
  isolation: Dialect['isolation'],
): Promise<Held<T>> {
  const worked = gate();
  const ended = gate();
  let result: T;
  let isKept = true;
  const run = async (manager: EntityManager) => {
    result = await work(manager);
    worked.open();
    await ended.opened;
    if (!isKept) throw GIVEN_UP;
  };
  const transaction = isolation ? dataSource.transaction(isolation, run) : dataSource.transaction(run);
  const end = async (isCommit: boolean) => {
    isKept &&= isCommit;
    ended.open();
    await transaction.catch((error: unknown) => {
      if (error !== GIVEN_UP) throw error;
    });
  };
  await Promise.race([worked.opened, transaction]);
  return { result: result!, commit: () => end(true), rollback: () => end(false) };
}

const GIVEN_UP = new Error('rolled back on purpose');

/** The application's table, for SQL. */
export const tableOfRows = (db: DataSource): string => db.driver.escape(db.getMetadata(Row).tableName);

/** Something to wait for until it is opened. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

const A_WHILE = 200;

/** Whether work still waits after a while. */
export const isWaiting = (work: Promise<unknown>): Promise<boolean> =>
  Promise.race([work.then(() => false), delay(A_WHILE, true)]);
