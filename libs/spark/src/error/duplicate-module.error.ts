import { SparkError } from './spark.error.js';

/** A second SparkModule for one DataSource. Thrown at boot. */
export class DuplicateModuleError extends SparkError {
  constructor(dataSource: string) {
    super(
      `SparkModule is imported more than once for the ${dataSource} DataSource, so every event would be captured twice. ` +
        `Call SparkModule.forRoot or forRootAsync once, in the root module; SparkService can be injected everywhere.`,
    );
  }
}
