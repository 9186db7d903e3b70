import type { DataSource } from 'typeorm';
import type { DatabaseFacts } from './facts.js';
import { MysqlFacts } from './mysql/mysql-facts.js';
import { PostgresFacts } from './postgres/postgres-facts.js';
import { SqliteFacts } from './sqlite/sqlite-facts.js';
import type { TableNames } from './table-names.js';
import { hasOneConnection, isPostgres } from './traits.js';

/** The facts of the database of a DataSource that a dialect supports. */
export function factsOf(dataSource: DataSource, tables: TableNames): DatabaseFacts {
  if (isPostgres(dataSource)) return new PostgresFacts(tables);
  return hasOneConnection(dataSource) ? new SqliteFacts() : new MysqlFacts(tables);
}
