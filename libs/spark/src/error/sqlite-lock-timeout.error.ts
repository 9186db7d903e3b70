import { SparkError } from './spark.error.js';
export class SqliteLockTimeoutError extends SparkError {}
