import { SparkError } from './spark.error.js';

/** A prepared statement does not exist on the connection: a pooler has handed over another connection. */
export class LostStatementError extends SparkError {
  constructor(cause: Error) {
    super(
      `A statement that Spark prepared does not exist on this connection (${cause.message}). A pooler such as PgBouncer before 1.21 hands ` +
        `connections over between transactions: set SparkModule's option \`postgres: { prepare: false }\`.`,
      { cause },
    );
  }
}
