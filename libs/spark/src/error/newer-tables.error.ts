import { SparkError } from './spark.error.js';

/** A newer release than this one has made Spark's tables. Thrown at boot. */
export class NewerTablesError extends SparkError {
  constructor(found: number, known: number, release: string) {
    super(
      `Spark's tables are of version ${found}, and this release of nestjs-spark supports version ${known}. Install nestjs-spark ` +
        `${release} or later, or undo its migrations with that release first.`,
    );
  }
}
