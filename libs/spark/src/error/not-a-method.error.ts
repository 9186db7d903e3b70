import { SparkError } from './spark.error.js';

/** A decorator of Spark is on something that Spark cannot call. Thrown when the class is defined. */
export class NotAMethodError extends SparkError {
  constructor(decorator: string, where: string) {
    super(
      `@${decorator} on ${where} decorates neither a method nor a class. Put it on a method ` +
        `(not on a getter, a field or an arrow function), or on a class.`,
    );
  }
}
