import { knownToAllCopies, SparkError } from './spark.error.js';

/** A second SparkModule for one DataSource. Thrown at boot. */
export class DuplicateModuleError extends SparkError {
  constructor(dataSource: string) {
    super(
      `SparkModule is imported more than once for the ${dataSource} DataSource, so every event would be captured twice. ` +
        `Call SparkModule.forRoot or forRootAsync once, in the root module; SparkService can be injected everywhere. ` +
        `Where it is called once, a second copy of the package is installed: see npm ls nestjs-spark.`,
    );
  }
}

// The other copy may be the one that refuses.
knownToAllCopies(DuplicateModuleError, 'DuplicateModuleError');
