import { knownToAllCopies, SparkError } from './spark.error.js';

/** A second SparkModule for one DataSource. Thrown at boot. */
export class DuplicateModuleError extends SparkError {
  constructor(dataSource: string) {
    super(
      `SparkModule is imported more than once for the ${dataSource} DataSource, so Spark would capture every event twice. ` +
        `Call SparkModule.forRoot or forRootAsync once, in the root module; SparkService can be injected everywhere. ` +
        `If you call it once, a second copy of the package is installed: run npm ls nestjs-spark.`,
    );
  }
}

// The other copy of the package may throw it.
knownToAllCopies(DuplicateModuleError, 'DuplicateModuleError');
