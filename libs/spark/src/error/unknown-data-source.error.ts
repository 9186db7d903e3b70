import { SparkError } from './spark.error.js';

/** A decorator names a DataSource that has no SparkModule. Thrown at boot. */
export class UnknownDataSourceError extends SparkError {
  constructor(method: string, dataSource: string) {
    super(
      `${method} names the DataSource "${dataSource}", for which there is no SparkModule. ` +
        `Import SparkModule.forRoot({ dataSource: "${dataSource}" }), or correct the name.`,
    );
  }
}
