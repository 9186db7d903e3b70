import { SparkError } from './spark.error.js';

/** The database has not answered a statement of Spark's own in time. */
export class NoAnswerError extends SparkError {
  /**
   * @param waited how long Spark waited, in milliseconds
   * @param statement the statement, if it is known
   */
  constructor(waited: number, statement?: string) {
    const what = statement === undefined ? '' : ` (${beginningOf(statement)})`;
    super(
      `The database did not answer a statement of Spark within ${waited} ms${what}, so Spark dropped the connection. Check the ` +
        `network. If the statement takes that long, raise SparkModule's statementTimeout.`,
    );
  }
}

const LONGEST = 120;

function beginningOf(statement: string): string {
  const text = statement.trim().replace(/\s+/g, ' ');
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

/** Spark got no connection to the database in time for a statement of its own. */
export class NoConnectionError extends NoAnswerError {
  /** @param isBusy whether the pool was full and all its connections were in use, so that the driver was not opening another one */
  constructor(
    waited: number,
    readonly isBusy: boolean,
  ) {
    super(waited);
    this.message =
      `Spark got no connection to the database within ${waited} ms. Check the network. If handlers or requests hold all ` +
      `connections of the pool, raise the DataSource's poolSize above worker.concurrency, or lower worker.concurrency.`;
  }
}
