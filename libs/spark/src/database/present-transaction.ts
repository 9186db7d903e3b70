import type { DataSource } from 'typeorm';
import { isSerialized } from './sqlite/sqlite-serializer.js';

/**
 * Whether the async context is in a transaction, as far as Spark can detect it: on SQLite if Spark keeps transactions apart, and with a
 * library such as typeorm-transactional, which replaces the DataSource's manager by that of the transaction.
 */
export function isInTransaction(dataSource: DataSource): boolean {
  if (dataSource.manager.queryRunner?.isTransactionActive) return true;
  // With serialisation, createQueryRunner returns the runner of the present transaction.
  return isSerialized(dataSource) && dataSource.createQueryRunner().isTransactionActive;
}
