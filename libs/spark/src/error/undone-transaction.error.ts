import { SparkError } from './spark.error.js';

/** The database has rolled back the transaction of a transactional handler, and the handler ended without an error. */
export class UndoneTransactionError extends SparkError {
  constructor(handler: string) {
    super(
      `The database has rolled back the transaction of ${handler}: a statement failed, and the handler caught the error and went on. ` +
        `Spark tries the delivery again. Do not catch database errors in the handler, or rethrow them.`,
    );
  }
}
