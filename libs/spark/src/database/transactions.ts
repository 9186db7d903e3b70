import { Logger } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { Dialect } from './dialect.js';
import { lineOf } from '../error/text-of.js';
import { execute, withNewRunner, withRunner } from './statement.js';

const TRIES = 10;

/** Runs Spark's own transactions: short ones, READ COMMITTED, once more when the database says that they collided. */
export class Transactions {
  private readonly logger = new Logger('Spark');

  constructor(
    private readonly dataSource: DataSource,
    private readonly dialect: Dialect,
  ) {}

  /** For what needs no transaction. */
  get manager(): EntityManager {
    return this.dataSource.manager;
  }

  run<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    const { isolation } = this.dialect;
    return this.insist(() =>
      withNewRunner(this.dataSource, ({ manager }) =>
        isolation ? manager.transaction(isolation, work) : manager.transaction(work),
      ),
    );
  }

  /** Runs a transaction of the application's once, as its DataSource does. The statements that begin and end it are Spark's own. */
  runOnce<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return withNewRunner(this.dataSource, ({ manager }) => manager.transaction(work));
  }

  /** Runs a claim or a completion: without a transaction round it where it is one statement. */
  runShort<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    if (!this.dialect.worksByStatement) return this.run(work);
    return this.insist(() => withRunner(this.dataSource.manager, ({ manager }) => work(manager)));
  }

  /** Runs a write of a table while no other transaction reads it, as far as `Dialect.whileUnread` can. */
  runUnread<T>(table: string, write: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.insist(() =>
      withNewRunner(this.dataSource, ({ manager }) => this.dialect.whileUnread(manager, table, write)),
    );
  }

  private async insist<T>(run: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        if (attempt === TRIES || !this.dialect.isTransient(error)) throw error;
        this.logger.debug(`A transaction collided with another one and is run once more: ${lineOf(error)}`);
        await delay(Math.random() * 10 * 2 ** attempt);
      }
    }
  }

  /** Runs work that only reads, in a transaction that is read only where the database knows such, and rolled back everywhere. */
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
}
