import { SparkError } from './spark.error.js';

/** The database has rolled a transactional handler's transaction back, and the handler went on as if it had not. */
export class UndoneTransactionError extends SparkError {
  constructor(handler: string) {
    super(
      `The transaction of ${handler} is gone: a statement of it failed, and the handler went on. Its delivery is tried ` +
        `again. Let such errors out of the handler.`,
    );
  }
}
