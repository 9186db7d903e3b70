import { SparkError } from './spark.error.js';

/**
 * A context that cannot be stored or read back. Only the library throws and catches it: applications get its reason in an
 * InvalidEventError.
 */
export class ContextError extends SparkError {}
