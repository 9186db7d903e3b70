import { SparkError } from './spark.error.js';

/** An entity belongs to several DataSources, and its source names none of them. Thrown at boot. */
export class AmbiguousDataSourceError extends SparkError {
  constructor(method: string, entity: string, dataSources: string[]) {
    super(
      `${method} is an event source of ${entity}, which belongs to more than one DataSource (${dataSources.join(', ')}). ` +
        `Name the one that you mean: @EventSource(${entity}, { dataSource: "…" }).`,
    );
  }
}
