import { SparkError } from './spark.error.js';

/** An entity is known to several DataSources and its source does not say which is meant. Thrown at boot. */
export class AmbiguousDataSourceError extends SparkError {
  constructor(method: string, entity: string, dataSources: string[]) {
    super(
      `${method} is an event source of ${entity}, which more than one DataSource knows (${dataSources.join(', ')}). ` +
        `Say which is meant: @EventSource(${entity}, { dataSource: "…" }).`,
    );
  }
}
