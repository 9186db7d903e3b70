import { SparkError } from './spark.error.js';

/** A class decorated as an interceptor has none of an interceptor's methods. Thrown at boot. */
export class MissingHookError extends SparkError {
  constructor(className: string, hooks: readonly string[]) {
    super(
      `${className} is decorated with @SparkInterceptor but has none of the methods ${hooks.join(', ')}. Add one of them ` +
        `(implement SparkInterceptorHooks), or remove the decorator.`,
    );
  }
}
