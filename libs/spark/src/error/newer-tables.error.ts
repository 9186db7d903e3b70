import { SparkError } from './spark.error.js';

/** Spark's tables were made by a newer release than the one that runs. Thrown at boot. */
export class NewerTablesError extends SparkError {
  constructor(found: number, known: number, release: string) {
    super(
      `Spark's tables are of version ${found}, and this release of nestjs-spark knows version ${known}. Install nestjs-spark ` +
        `${release} or later, or undo its migrations with that release first.`,
    );
  }
}
