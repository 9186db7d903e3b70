import type { DataSource, EntityManager } from 'typeorm';
import {
  type SqliteConnection,
  type SqliteDriver,
  type SqliteRunner,
  serialQueryRunner,
} from './sqlite-query-runner.js';
import { ConnectionLock } from './connection-lock.js';

const serialized = new WeakSet<DataSource>();

/** Whether the transactions of a DataSource are kept apart here. */
export const isSerialized = (dataSource: DataSource): boolean => serialized.has(dataSource);

/**
 * Keeps the transactions of a better-sqlite3 DataSource apart. TypeORM gives all of them one query runner on one connection, so
 * concurrent transactions become savepoints of each other. Here, each transaction gets a runner of its own and holds the connection from
 * BEGIN to its end. Statements in its async context belong to it.
 */
export function serializeSqlite(dataSource: DataSource, { lockTimeout }: { lockTimeout: number }): void {
  if (serialized.has(dataSource)) return;
  serialized.add(dataSource);
  const driver = dataSource.driver as unknown as SqliteDriver;
  const lock = new ConnectionLock(lockTimeout);
  const stock = driver.createQueryRunner('master');
  const Runner = serialQueryRunner(stock.constructor as new (driver: unknown) => SqliteRunner, driver, lock);
  let statements = stock.stmtCache;

  driver.createQueryRunner = () => {
    const current = lock.active();
    if (current) return current.runner as SqliteRunner;
    const runner = new Runner(driver);
    runner.stmtCache = statements;
    return runner;
  };

  const scoped = (manager: EntityManager): EntityManager => {
    const transaction = manager.transaction.bind(manager) as (...args: unknown[]) => Promise<unknown>;
    manager.transaction = (...args: unknown[]) => lock.call(() => transaction(...args)) as Promise<any>;
    return manager;
  };
  const createEntityManager = dataSource.createEntityManager.bind(dataSource);
  dataSource.createEntityManager = (runner) => scoped(createEntityManager(runner));
  scoped(dataSource.manager);

  const database = dataSource.options.database as string;
  prepare(driver.databaseConnection, database);
  const connect = driver.connect.bind(driver);
  driver.connect = async () => {
    await connect();
    prepare(driver.databaseConnection, database);
    statements = new Map();
    lock.reconnected();
  };
}

/** Turns WAL on, so that readers and a writer work side by side. Turns SQLite's own waiting off, which would block the process. */
function prepare(connection: SqliteConnection, database: string): void {
  try {
    if (database !== ':memory:' && connection.pragma('journal_mode', { simple: true }) !== 'wal') {
      connection.pragma('journal_mode = WAL');
    }
  } catch (error) {
    // Another process is turning WAL on at this moment, or the file is read only.
    if (!/^SQLITE_(BUSY|READONLY)/.test((error as { code?: string }).code ?? '')) throw error;
  }
  connection.pragma('busy_timeout = 0');
}
