import { SparkError } from './spark.error.js';

/** The application used SparkService before it was initialised. */
export class NotStartedError extends SparkError {
  constructor() {
    super(
      `Spark has not started: call it after the application has been initialised (await app.init() in tests, app.listen() ` +
        `otherwise), not in a constructor.`,
    );
  }
}
