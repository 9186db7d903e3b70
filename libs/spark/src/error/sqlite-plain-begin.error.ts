import { SparkError } from './spark.error.js';

/** A plain statement began a transaction on a SQLite DataSource. Spark rolled it back at once. */
export class SqlitePlainBeginError extends SparkError {
  constructor(query: string) {
    super(
      `"${query}" begins a transaction without TypeORM, on the one connection that all code shares: statements of other code would ` +
        `become part of it. Spark rolled it back. Use dataSource.transaction(), or startTransaction() of a query runner.`,
    );
  }
}
