import { SparkError } from './spark.error.js';

/** Why the signal of a handler is aborted when its process stops, or has lost the right to its deliveries. */
export class WorkerStoppedError extends SparkError {
  constructor(reason: string) {
    super(`The handler is to stop: ${reason}. Its delivery is handled again, here or elsewhere.`);
  }
}
