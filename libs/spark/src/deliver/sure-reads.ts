import type { DataSource, EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { select, withRunner } from '../database/statement.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { messageOf } from '../error/wording.js';
import { DatabaseAway } from './undecided.js';

/** Runs reads for deliveries. If one fails, it finds out whether the read is at fault or the database does not answer. */
export class SureReads {
  constructor(
    private readonly dataSource: DataSource,
    private readonly dialect: Dialect,
  ) {}

  /**
   * Runs a read on a connection of its own. If it fails, it runs once more, because the connection may have been lost.
   *
   * @throws DatabaseAway if the database does not answer, for example because the table is locked, or reports a collision of
   *   statements; otherwise what the read throws
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
