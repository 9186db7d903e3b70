export { SparkTelemetryModule } from './spark-telemetry.module.js';
export type { SparkTelemetryOptions } from './spark-telemetry.options.js';
