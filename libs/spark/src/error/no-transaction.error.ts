import { SparkError } from './spark.error.js';

/** emit was given a manager that has no transaction. */
export class NoTransactionError extends SparkError {
  constructor() {
    super(
      `emit(events, { manager }) needs the manager of a transaction that is under way, as dataSource.transaction() hands it ` +
        `to its callback. Leave out { manager } to have the events entered in a transaction of their own.`,
    );
  }
}
