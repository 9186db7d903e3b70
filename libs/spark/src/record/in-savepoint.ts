import type { EntityManager } from 'typeorm';
import { isPostgres } from '../database/traits.js';

/** Runs reads that may fail. On PostgreSQL they run in a savepoint: a statement that fails would end the whole transaction. */
export function inSavepoint<T>(manager: EntityManager, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  const needsOne = isPostgres(manager.dataSource) && manager.queryRunner?.isTransactionActive;
  return needsOne ? manager.transaction(work) : work(manager);
}
