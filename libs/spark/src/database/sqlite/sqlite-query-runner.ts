import { type QueryRunner, TransactionNotStartedError } from 'typeorm';
import { SqlitePlainBeginError } from '../../error/sqlite-plain-begin.error.js';
import { patiently } from './sqlite-busy.js';
import { compiled, type Connection } from './sqlite-statements.js';
import type { ConnectionLock, TransactionScope } from './connection-lock.js';

/** The parts of TypeORM's query runner for better-sqlite3 that are used here. */
export interface SqliteRunner extends QueryRunner {
  transactionDepth: number;
  isTransactionActive: boolean;
  stmtCache: unknown;
}

export interface SqliteDriver {
  databaseConnection: SqliteConnection;
  connect(): Promise<void>;
  createQueryRunner(mode: string): SqliteRunner;
}

export interface SqliteConnection extends Connection {
  readonly inTransaction: boolean;
  exec(sql: string): void;
  pragma(sql: string, options?: object): unknown;
}

const HOOKS_OF_END = /^(Before|After)Transaction(Commit|Rollback)$/;

/** A scope that is about to end. */
interface Ending {
  readonly scope: TransactionScope;
  /** Waits until the scope has no inner scope. */
  readonly wait: (scope: TransactionScope) => Promise<void>;
  /** Whether its queue is held, so that no inner scope can begin. */
  isHeld: boolean;
}

/** Makes a class of query runners that wait until the connection is free. Each transaction has one of its own; TypeORM has one for all. */
export function serialQueryRunner(
  Stock: new (driver: unknown) => SqliteRunner,
  driver: SqliteDriver,
  lock: ConnectionLock,
): new (driver: unknown) => SqliteRunner {
  return class SerialQueryRunner extends Stock {
    /** The innermost scope of this runner. */
    private scope: TransactionScope | undefined;
    private migration: TransactionScope | undefined;
    /** The error for which SQLite itself rolled the transaction back, such as a full disk or `INSERT OR ROLLBACK`. */
    private undone: unknown;
    private ending: Ending | undefined;

    constructor(given: unknown) {
      super(given);
      const broadcast = this.broadcaster.broadcast.bind(this.broadcaster);
      this.broadcaster.broadcast = (event, ...args) => {
        const { ending } = this;
        const run = () => broadcast(event, ...args);
        return ending && HOOKS_OF_END.test(event) ? this.hooked(ending, event, run) : run();
      };
    }

    override startTransaction(isolation?: Parameters<QueryRunner['startTransaction']>[0]): Promise<void> {
      lock.refuseCutOff();
      const outer = lock.active();
      const parent = this.scope && (outer?.runner === this ? outer : outermost(this.scope));
      return this.begin(lock.next(this, parent), () => super.startTransaction(isolation));
    }

    override commitTransaction(): Promise<void> {
      return this.end(
        async (scope) => lock.wait(scope),
        () => super.commitTransaction(),
      );
    }

    override async rollbackTransaction(): Promise<void> {
      try {
        await this.end(
          // A rollback must not give up: it would block the connection for ever.
          (scope) => Promise.resolve(lock.wait(scope)).catch(() => this.cutOff(scope)),
          () => this.rollBack(() => super.rollbackTransaction()),
        );
      } finally {
        await this.endFailedMigration();
      }
    }

    override query(query: string, parameters?: any[], structured?: boolean): Promise<any> {
      lock.refuseCutOff();
      const run = () => super.query(query, parameters, structured as true);
      if (this.scope && query === 'BEGIN TRANSACTION') return this.beginImmediate();
      if (this.transactionDepth > 0) return this.inside(query === 'COMMIT' ? () => patiently(run, lock.timeout) : run);
      if (lock.active() || this.scope) return patiently(run, lock.timeout);
      return this.alone(query, run);
    }

    /** Runs statements of the transaction that are sent directly to the connection. */
    besides<T>(work: () => T): T {
      lock.refuseCutOff();
      if (this.undone) throw this.undone;
      try {
        return work();
      } catch (error) {
        throw this.remembered(error);
      }
    }

    /** Holds the connection while foreign keys are off. They cannot be switched inside a transaction. */
    override async beforeMigration(): Promise<void> {
      if (!lock.active()) {
        this.migration = lock.next(this);
        await lock.enter(this.migration);
        this.scope = this.migration;
      }
      return super.beforeMigration();
    }

    override async afterMigration(): Promise<void> {
      const { migration } = this;
      this.migration = undefined;
      try {
        await super.afterMigration();
      } finally {
        if (migration?.state === 'active') this.leave(migration);
      }
    }

    // TypeORM does not end a migration that failed.
    private async endFailedMigration(): Promise<void> {
      if (this.migration && this.transactionDepth === 0) await this.afterMigration();
    }

    private async alone<T>(query: string, run: () => Promise<T>): Promise<T> {
      const { connection } = lock;
      await lock.wait(connection);
      try {
        const result = await patiently(run, lock.timeout);
        this.refuseToStayOpen(query);
        return result;
      } finally {
        connection.queue.release();
      }
    }

    /**
     * Runs a statement of a transaction. If SQLite has rolled the transaction back, a later statement would commit on its own, so it is
     * refused.
     */
    private async inside<T>(run: () => Promise<T>): Promise<T> {
      if (this.undone) throw this.undone;
      try {
        return await run();
      } catch (error) {
        throw this.remembered(error);
      }
    }

    private remembered(error: unknown): unknown {
      if (this.transactionDepth > 0 && !driver.databaseConnection.inTransaction) this.undone = error;
      return error;
    }

    // With a plain BEGIN, a transaction that reads first and writes later would fail if another process has written in between.
    private beginImmediate(): Promise<void> {
      this.dataSource.logger.logQuery('BEGIN IMMEDIATE', [], this);
      return patiently(() => void compiled(driver.databaseConnection, 'BEGIN IMMEDIATE').run(), lock.timeout);
    }

    private async begin(scope: TransactionScope, start: () => Promise<void>): Promise<void> {
      await lock.enter(scope);
      this.scope = scope;
      const depth = this.transactionDepth;
      try {
        await start();
      } catch (error) {
        // If a hook failed after BEGIN, the transaction is open, and the caller rolls it back.
        if (this.transactionDepth === depth) {
          this.isTransactionActive = depth > 0;
          this.leave(scope);
          await this.endFailedMigration();
        }
        throw error;
      } finally {
        scope.depth = this.transactionDepth;
      }
    }

    /** Ends the scope that the caller is in. If the caller is in none of this runner, it ends the innermost one. */
    private async end(wait: Ending['wait'], work: () => Promise<void>): Promise<void> {
      const own = lock.find(({ state, called, runner }) => state === 'active' || (called && runner === this));
      const scope = own?.runner === this ? own : this.scope;
      if (!scope) throw new TransactionNotStartedError();
      // Savepoints that the application did not await end first.
      await wait(scope);
      const ending = { scope, wait, isHeld: true };
      const depth = this.transactionDepth;
      try {
        if (scope.state !== 'active') throw new TransactionNotStartedError();
        this.ending = ending;
        await work();
      } finally {
        if (this.ending === ending) this.ending = undefined;
        if (this.transactionDepth < depth) this.leave(scope);
        if (ending.isHeld) scope.queue.release();
      }
    }

    /** Runs hooks of subscribers, which may begin transactions: before the end inside the ending one, after it on their own. */
    private async hooked(ending: Ending, event: string, broadcast: () => Promise<void>): Promise<void> {
      if (event.startsWith('After')) {
        this.ending = undefined;
        this.leave(ending.scope);
        ending.isHeld = false;
        ending.scope.queue.release();
        return broadcast();
      }
      ending.isHeld = false;
      ending.scope.queue.release();
      try {
        await broadcast();
      } finally {
        await ending.wait(ending.scope);
        ending.isHeld = true;
        this.ending = ending;
      }
      if (ending.scope.state !== 'active') throw new TransactionNotStartedError();
    }

    /** Ends the inner scopes of a scope that do not end by themselves. */
    private cutOff(scope: TransactionScope): void {
      lock.takeOver(scope);
      this.scope = scope;
      this.transactionDepth = scope.depth;
    }

    private async rollBack(work: () => Promise<void>): Promise<void> {
      const depth = this.transactionDepth;
      try {
        await work();
      } catch (error) {
        if (depth > 0 && this.transactionDepth === depth) {
          // A hook threw before ROLLBACK, or SQLite has rolled back by itself.
          const { databaseConnection } = driver;
          const rollback = depth > 1 ? `ROLLBACK TO SAVEPOINT typeorm_${depth - 1}` : 'ROLLBACK';
          if (databaseConnection.inTransaction) databaseConnection.exec(rollback);
          this.transactionDepth = depth - 1;
          this.isTransactionActive = depth > 1;
        }
        throw error;
      }
    }

    private leave(scope: TransactionScope): void {
      if (scope.state === 'ended') return;
      lock.leave(scope);
      this.scope = scope.parent!.runner === this ? scope.parent : undefined;
      if (this.transactionDepth === 0) this.undone = undefined;
    }

    private refuseToStayOpen(query: string): void {
      if (!driver.databaseConnection.inTransaction) return;
      driver.databaseConnection.exec('ROLLBACK');
      throw new SqlitePlainBeginError(query);
    }
  };
}

function outermost(scope: TransactionScope): TransactionScope {
  return scope.parent?.runner ? outermost(scope.parent) : scope;
}
