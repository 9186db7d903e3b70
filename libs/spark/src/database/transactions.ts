import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import type { Dialect } from './dialect.js';
import { lineOf } from '../error/text-of.js';
import { execute, withNewRunner, withRunner } from './statement.js';

const TRIES = 10;

/** Runs Spark's own transactions. They are short and READ COMMITTED, and run again when the database reports a collision. */
export class Transactions {
  private readonly logger = new SparkLog();

  constructor(
    private readonly dataSource: DataSource,
    private readonly dialect: Dialect,
  ) {}

  /** The manager for statements that need no transaction. */
  get manager(): EntityManager {
    return this.dataSource.manager;
  }

  run<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    const { isolation } = this.dialect;
    return this.withRetries(() =>
      withNewRunner(this.dataSource, ({ manager }) =>
        isolation ? manager.transaction(isolation, work) : manager.transaction(work),
      ),
    );
  }

  /**
   * Runs a transaction of the application once, as its DataSource does. Only the statements that begin and end it have Spark's deadline.
   */
  runOnce<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return withNewRunner(this.dataSource, ({ manager }) => manager.transaction(work));
  }

  /** Runs a claim or a completion. If the dialect does that in one statement, it needs no transaction around it. */
  runShort<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    if (!this.dialect.worksByStatement) return this.run(work);
    return this.withRetries(() => withRunner(this.dataSource.manager, ({ manager }) => work(manager)));
  }

  /** Runs a write of a table while no other transaction reads it, as far as `Dialect.whileUnread` can. */
  runUnread<T>(table: string, write: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.withRetries(() =>
      withNewRunner(this.dataSource, ({ manager }) => this.dialect.whileUnread(manager, table, write)),
    );
  }

  private async withRetries<T>(run: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        if (attempt === TRIES || !this.dialect.isTransient(error)) throw error;
        this.logger.debug(`A transaction collided with another one. Spark runs it again: ${lineOf(error)}`, {
          attempt,
          error,
        });
        await delay(Math.random() * 10 * 2 ** attempt);
      }
    }
  }

  /** Runs work that only reads. Its transaction is read only, if the database has such transactions, and is always rolled back. */
  async readOnly<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    const { before, within } = this.dialect.readOnly;
    return withRunner(this.dataSource.manager, async (runner) => {
      if (before) await execute(runner, before);
      await runner.startTransaction();
      try {
        if (within) await execute(runner, within);
        return await work(runner.manager);
      } finally {
        await runner.rollbackTransaction();
      }
    });
  }

  /**
   * Runs reads that need no common transaction. On a database without read-only transactions, they have none: it would keep writers
   * waiting.
   */
  reading<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    const { before, within } = this.dialect.readOnly;
    if (before ?? within) return this.readOnly(work);
    return withRunner(this.dataSource.manager, ({ manager }) => work(manager));
  }
}
