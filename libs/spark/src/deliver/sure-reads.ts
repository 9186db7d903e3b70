import type { DataSource, EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { select, withRunner } from '../database/statement.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { messageOf } from '../error/wording.js';
import { DatabaseAway } from './undecided.js';

/** Runs reads for deliveries, and tells a read that fails for a reason of its own from a database that is away. */
export class SureReads {
  constructor(
    private readonly dataSource: DataSource,
    private readonly dialect: Dialect,
  ) {}

  /**
   * Runs a read on a connection of its own, and once more where that failed, as the connection may have been lost.
   * Throws DatabaseAway where the database does not answer, as where somebody has locked the table, or says that statements collided,
   * else what the read throws.
   */
  async run<T>(read: (manager: EntityManager) => Promise<T>): Promise<T> {
    try {
      return await this.once(read);
    } catch (error) {
      await this.check(error);
    }
    try {
      return await this.once(read);
    } catch (error) {
      await this.check(error);
      throw error;
    }
  }

  private once<T>(read: (manager: EntityManager) => Promise<T>): Promise<T> {
    return withRunner(this.dataSource.manager, ({ manager }) => read(manager));
  }

  private async check(error: unknown): Promise<void> {
    if (error instanceof NoAnswerError || this.dialect.isTransient(error))
      throw new DatabaseAway(messageOf(error), { cause: error });
    try {
      await select(this.dataSource.manager, 'SELECT 1');
    } catch (cause) {
      throw new DatabaseAway(messageOf(cause), { cause });
    }
  }
}
