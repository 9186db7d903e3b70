import { SparkError } from './spark.error.js';

/** A source or handler on a static method. Thrown when the class is defined. */
export class StaticMethodError extends SparkError {
  constructor(method: string) {
    super(
      `${method} cannot be called by Spark: it is static, and Spark calls sources and handlers on a provider. ` +
        `Make it a method of the instance.`,
    );
  }
}
