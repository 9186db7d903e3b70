import { SparkError } from './spark.error.js';

/** A part of a package that Spark needs is not there. Thrown at boot. */
export class MissingPartError extends SparkError {
  /**
   * @param place the package and its version
   * @param part what it lacks
   */
  constructor(place: string, part: string) {
    super(
      `${place} lacks ${part}, which is private to it and which Spark cannot work without. Install the version that was there ` +
        `before, or a release of nestjs-spark that knows this one.`,
    );
  }
}
