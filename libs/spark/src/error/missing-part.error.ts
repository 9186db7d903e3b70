import { SparkError } from './spark.error.js';

/** A private part of a package that Spark needs is missing. Thrown at boot. */
export class MissingPartError extends SparkError {
  /**
   * @param place the package and its version
   * @param part what is missing
   */
  constructor(place: string, part: string) {
    super(
      `${place} lacks ${part}, a private part of it that Spark needs. Install the version that you had before, or a release of ` +
        `nestjs-spark that supports this version.`,
    );
  }
}
