import { SparkError } from './spark.error.js';

/** `emit` got a manager that has no transaction. */
export class NoTransactionError extends SparkError {
  constructor() {
    super(
      `emit(events, { manager }) needs the manager of an open transaction, as dataSource.transaction() passes it to its callback. ` +
        `Leave out { manager }, and Spark enters the events in a transaction of their own.`,
    );
  }
}
