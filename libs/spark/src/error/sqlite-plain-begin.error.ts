import { SparkError } from './spark.error.js';

/** A plain statement began a transaction on a SQLite DataSource; it was rolled back at once. */
export class SqlitePlainBeginError extends SparkError {
  constructor(query: string) {
    super(
      `"${query}" begins a transaction behind TypeORM's back, on the one connection that everyone uses, so that what ` +
        `others do would become part of it. It was rolled back. Use dataSource.transaction(), or startTransaction() of ` +
        `a query runner.`,
    );
  }
}
