import { SparkError } from './spark.error.js';

/** Transactional handlers could hold every connection of the pool while Spark needs one more. Thrown at boot. */
export class PoolTooSmallError extends SparkError {
  constructor(handler: string, concurrency: number, pool: number) {
    super(
      `The transactional handler ${handler} may run ${concurrency} times at once, each holding a connection, but the pool ` +
        `has ${pool}, and Spark needs two more. Lower its concurrency, or raise poolSize of the DataSource.`,
    );
  }
}
