import { SparkError } from './spark.error.js';

/** A transaction or statement waited too long for another transaction of the same SQLite DataSource, or of another process. */
export class SqliteLockTimeoutError extends SparkError {
  /**
   * @param waited how long, in milliseconds
   * @param begun the stack of where the transaction began that is waited for; undefined when it is another process's
   */
  constructor(waited: number, begun: string | undefined) {
    super(
      `Waited ${waited} ms for SQLite, which has one writer at a time, while another transaction was under way. Is one never ` +
        `committed or rolled back, or does it wait for something slow, or for what waits for it? Commit earlier, or raise ` +
        `SparkModule's sqlite.lockTimeout. ` +
        (begun === undefined
          ? 'That transaction is one of another process.'
          : `That transaction began here:\n${begun}`),
    );
  }
}
