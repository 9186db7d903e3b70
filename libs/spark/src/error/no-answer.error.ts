import { SparkError } from './spark.error.js';

/** The database has not answered a statement of Spark's own in time. */
export class NoAnswerError extends SparkError {
  /**
   * @param waited how long, in milliseconds
   * @param statement what was sent, where that is known
   */
  constructor(waited: number, statement?: string) {
    const what = statement === undefined ? '' : ` (${beginningOf(statement)})`;
    super(
      `The database did not answer a statement of Spark within ${waited} ms${what}, and its connection was dropped. Is the network ` +
        `silent, or does the statement take that long? Then raise SparkModule's statementTimeout.`,
    );
  }
}

const LONGEST = 120;

function beginningOf(statement: string): string {
  const text = statement.trim().replace(/\s+/g, ' ');
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

/** No connection to the database was to be had in time for a statement of Spark's own. */
export class NoConnectionError extends NoAnswerError {
  /** @param isBusy whether no connection was being made either: all there may be are in use */
  constructor(
    waited: number,
    readonly isBusy: boolean,
  ) {
    super(waited);
    this.message =
      `Spark got no connection to the database within ${waited} ms. Do handlers or requests hold all connections of the pool, or is ` +
      `the network silent? Raise the DataSource's poolSize above worker.concurrency, or lower worker.concurrency.`;
  }
}
