import { SparkError } from './spark.error.js';

/** A source or handler is a static method. Thrown when the class is defined. */
export class StaticMethodError extends SparkError {
  constructor(method: string) {
    super(
      `Spark cannot call ${method}: it is static, and Spark calls sources and handlers on a provider. ` +
        `Make it a method of the instance.`,
    );
  }
}
