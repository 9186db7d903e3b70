import type { DataSource } from 'typeorm';
import { isSerialized } from './sqlite/sqlite-serializer.js';

/**
 * Whether the async context is in a transaction, as far as that can be known: on SQLite, where Spark keeps transactions apart, and
 * where a library such as typeorm-transactional puts the transaction's manager in the place of the DataSource's.
 */
export function isInTransaction(dataSource: DataSource): boolean {
  if (dataSource.manager.queryRunner?.isTransactionActive) return true;
  // There it is the transaction's own.
  return isSerialized(dataSource) && dataSource.createQueryRunner().isTransactionActive;
}
