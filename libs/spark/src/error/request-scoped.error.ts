import { SparkError } from './spark.error.js';

/** A source or handler is on a provider that is not a singleton. Thrown at boot. */
export class RequestScopedError extends SparkError {
  constructor(method: string) {
    super(
      `Spark cannot call ${method}: its provider, or one that it depends on, is request-scoped or transient, and ` +
        `a sweep or a delivery has no request. Make the provider a singleton, or move the method to one that is.`,
    );
  }
}
