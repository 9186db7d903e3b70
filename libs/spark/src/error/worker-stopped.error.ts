import { SparkError } from './spark.error.js';

/** The reason of a handler's aborted signal when its process stops, or has lost its lease. */
export class WorkerStoppedError extends SparkError {
  constructor(reason: string) {
    super(`The handler must stop: ${reason}. Spark handles the delivery again, in this process or in another one.`);
  }
}
