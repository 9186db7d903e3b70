import { Logger } from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { Dialect } from './dialect.js';

const TRIES = 10;

/** Runs Spark's own transactions: short ones, READ COMMITTED, once more when the database says that they collided. */
export class Transactions {
  private readonly logger = new Logger('Spark');

  constructor(
    private readonly dataSource: DataSource,
    private readonly dialect: Dialect,
  ) {}

  async run<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { isolation } = this.dialect;
        return await (isolation ? this.dataSource.transaction(isolation, work) : this.dataSource.transaction(work));
      } catch (error) {
        if (attempt === TRIES || !this.dialect.isTransient(error)) throw error;
        this.logger.debug(`A transaction collided with another one and is run once more: ${(error as Error).message}`);
        await delay(Math.random() * 10 * 2 ** attempt);
      }
    }
  }
}
