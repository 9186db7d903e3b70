import { SparkError } from './spark.error.js';

/** A transaction or statement waited too long for another transaction of the same SQLite DataSource, or of another process. */
export class SqliteLockTimeoutError extends SparkError {
  /**
   * @param waited how long it waited, in milliseconds
   * @param begun the stack of where the other transaction began; undefined when it belongs to another process
   */
  constructor(waited: number, begun: string | undefined) {
    super(
      `Waited ${waited} ms for SQLite, which has one writer at a time, because another transaction was open. Was it never committed or ` +
        `rolled back? Does it wait for something slow, or for this transaction? Commit it earlier, or raise SparkModule's ` +
        `sqlite.lockTimeout. ` +
        (begun === undefined
          ? 'That transaction belongs to another process.'
          : `That transaction began here:\n${begun}`),
    );
  }
}
