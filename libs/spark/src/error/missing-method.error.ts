import { SparkError } from './spark.error.js';

/** A class decorated as a source or handler lacks its method. Thrown at boot. */
export class MissingMethodError extends SparkError {
  constructor(className: string, decorator: string, method: string) {
    super(
      `${className} is decorated with @${decorator} but has no method ${method}(). Add it ` +
        `(implement SparkSource or SparkHandler), or put the decorator on the method that does the work.`,
    );
  }
}
