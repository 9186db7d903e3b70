import { SparkError } from './spark.error.js';

/** A context that cannot be stored or read back. Inside the library only: users meet its reason in an InvalidEventError. */
export class ContextError extends SparkError {}
