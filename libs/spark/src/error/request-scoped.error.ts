import { SparkError } from './spark.error.js';

/** A source or handler on a provider that is not a singleton. Thrown at boot. */
export class RequestScopedError extends SparkError {
  constructor(method: string) {
    super(
      `${method} cannot be called by Spark: its provider, or one that it depends on, is request-scoped or transient, and ` +
        `a sweep or a delivery has no request. Make it a singleton, or move the method to one that is.`,
    );
  }
}
