import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { SqliteLockTimeoutError } from '../error/sqlite-lock-timeout.error.js';
import { AsyncLock } from './async-lock.js';

/** A transaction, or a savepoint in one, as the async context knows it. */
interface Frame {
  readonly runner: QueryRunner;
  /** The transaction round it, where it is a savepoint. */
  parent: Frame | undefined;
  /** Where to go on looking when this one has ended. */
  readonly outer: Frame | undefined;
  /** A starting one still waits: who sees it is a sibling begun in the same breath, not part of it. */
  state: 'starting' | 'active' | 'ended';
  /** One savepoint at a time: siblings queue. */
  readonly children: AsyncLock;
  readonly begun: { stack?: string };
}

/** What is used of TypeORM's query runner for better-sqlite3. */
interface SqliteRunner extends QueryRunner {
  transactionDepth: number;
  isTransactionActive: boolean;
  stmtCache: unknown;
}

interface Connection {
  readonly inTransaction: boolean;
  exec(sql: string): void;
  pragma(sql: string, options?: object): unknown;
}

const serialized = new WeakSet<DataSource>();

/**
 * Keeps the transactions of a better-sqlite3 DataSource apart. TypeORM gives all of them one query runner on one
 * connection, so that concurrent ones become each other's savepoints. Here each gets a runner of its own and has the
 * connection from BEGIN to its end; what runs in its async context belongs to it.
 */
export function serializeSqlite(dataSource: DataSource, { lockTimeout }: { lockTimeout: number }): void {
  if (serialized.has(dataSource)) return;
  serialized.add(dataSource);
  const driver = dataSource.driver as unknown as {
    createQueryRunner(mode: string): SqliteRunner;
    databaseConnection: Connection;
  };
  const connection = driver.databaseConnection;
  prepare(connection, dataSource.options.database as string);
  const contexts = new AsyncLocalStorage<Frame | undefined>();
  const lock = new AsyncLock();
  let holder: Frame | undefined;

  const active = (): Frame | undefined => {
    let frame = contexts.getStore();
    while (frame && frame.state !== 'active') frame = frame.outer;
    return frame;
  };
  const timedOut = () => new SqliteLockTimeoutError(lockTimeout, holder && readable(holder.begun.stack));
  const take = (of: AsyncLock) => of.acquire(lockTimeout, timedOut);
  const patiently = async <T>(work: () => T | Promise<T>): Promise<T> => {
    for (const start = Date.now(); ; await delay(1 + Math.random() * 49)) {
      try {
        return await work();
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (Date.now() - start > lockTimeout) throw new SqliteLockTimeoutError(lockTimeout, undefined);
      }
    }
  };

  const stock = driver.createQueryRunner('master');
  const Stock = stock.constructor as new (driver: unknown) => SqliteRunner;

  class SerialQueryRunner extends Stock {
    /** The innermost transaction that is open on this runner. */
    private frame: Frame | undefined;

    override startTransaction(isolation?: Parameters<QueryRunner['startTransaction']>[0]): Promise<void> {
      const outer = active();
      const parent = this.frame && (outer?.runner === this ? outer : outermost(this.frame));
      const begun: Frame['begun'] = {};
      Error.captureStackTrace(begun);
      const frame: Frame = { runner: this, parent, outer, state: 'starting', children: new AsyncLock(), begun };
      // Before the first wait: only so the caller, and who called it to begin, are in this context afterwards.
      contexts.enterWith(frame);
      return this.begin(frame, () => super.startTransaction(isolation));
    }

    override commitTransaction(): Promise<void> {
      return this.end(() => super.commitTransaction());
    }

    override rollbackTransaction(): Promise<void> {
      return this.end(async () => {
        try {
          await super.rollbackTransaction();
        } catch (error) {
          // SQLite has rolled back by itself: a full disk, say.
          if (!connection.inTransaction) {
            this.isTransactionActive = false;
            this.transactionDepth = 0;
          }
          throw error;
        }
      });
    }

    override async query(query: string, parameters?: any[], structured?: boolean): Promise<any> {
      const run = () => super.query(query, parameters, structured as true);
      if (query === 'BEGIN TRANSACTION') return this.beginImmediate();
      if (this.frame) return query === 'COMMIT' ? patiently(run) : run();
      if (active()) return run();
      await take(lock);
      try {
        return await patiently(run);
      } finally {
        lock.release();
      }
    }

    // A transaction that reads first and writes later would find that another process has written in between.
    private beginImmediate(): Promise<void> {
      dataSource.logger.logQuery('BEGIN IMMEDIATE', [], this);
      return patiently(() => connection.exec('BEGIN IMMEDIATE'));
    }

    private async begin(frame: Frame, start: () => Promise<void>): Promise<void> {
      if (frame.parent) {
        await take(frame.parent.children);
        if (frame.parent.state !== 'active') {
          frame.parent.children.release();
          frame.parent = undefined;
        }
      }
      if (!frame.parent) {
        await take(lock).catch((error: unknown) => {
          frame.state = 'ended';
          throw error;
        });
        holder = frame;
      }
      frame.state = 'active';
      this.frame = frame;
      const depth = this.transactionDepth;
      try {
        await start();
      } catch (error) {
        // Unless a hook failed after BEGIN: then it is open, and whoever began it rolls it back.
        if (this.transactionDepth === depth) this.close(frame);
        throw error;
      }
    }

    private async end(work: () => Promise<void>): Promise<void> {
      const { frame } = this;
      if (!frame) return work();
      // Savepoints that nobody waited for end first.
      await take(frame.children);
      const depth = this.transactionDepth;
      try {
        await work();
      } finally {
        if (this.transactionDepth < depth) this.close(frame);
        frame.children.release();
      }
    }

    private close(frame: Frame): void {
      frame.state = 'ended';
      this.frame = this.transactionDepth === 0 ? undefined : frame.parent;
      if (frame.parent) return frame.parent.children.release();
      holder = undefined;
      lock.release();
    }
  }

  driver.createQueryRunner = () => {
    const current = active();
    if (current) return current.runner as SqliteRunner;
    const runner = new SerialQueryRunner(driver);
    runner.stmtCache = stock.stmtCache;
    return runner;
  };

  // The callback's context ends with the callback; the caller of transaction() is not in it.
  const scoped = (manager: EntityManager): EntityManager => {
    const transaction = manager.transaction.bind(manager) as (...args: unknown[]) => Promise<unknown>;
    manager.transaction = (...args: unknown[]) => contexts.run(contexts.getStore(), () => transaction(...args));
    return manager;
  };
  const createEntityManager = dataSource.createEntityManager.bind(dataSource);
  dataSource.createEntityManager = (runner) => scoped(createEntityManager(runner));
  scoped(dataSource.manager);
}

/** Lets readers and a writer work side by side, and SQLite answer at once when it is busy instead of blocking the process. */
function prepare(connection: Connection, database: string): void {
  try {
    if (database !== ':memory:' && connection.pragma('journal_mode', { simple: true }) !== 'wal') {
      connection.pragma('journal_mode = WAL');
    }
  } catch (error) {
    // Another process is just doing it, or the file cannot be written.
    if (!/^SQLITE_(BUSY|READONLY)/.test((error as { code?: string }).code ?? '')) throw error;
  }
  connection.pragma('busy_timeout = 0');
}

function outermost(frame: Frame): Frame {
  return frame.parent ? outermost(frame.parent) : frame;
}

function isBusy(error: unknown): boolean {
  return ((error as { code?: string }).code ?? '').startsWith('SQLITE_BUSY');
}

/** The frames of the application, where there are any. */
function readable(stack = ''): string {
  const frames = stack.split('\n').slice(1);
  const own = frames.filter((line) => !/node_modules\/typeorm|sqlite-serializer|node:internal|\(node:/.test(line));
  return (own.length > 0 ? own : frames).join('\n');
}
