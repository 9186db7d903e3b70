import { SparkError } from './spark.error.js';

/** A sweep schedule without the ScheduleModule. Thrown at boot. */
export class MissingSchedulerError extends SparkError {
  constructor() {
    super(
      `SparkModule was given a sweep schedule, but there is no scheduler. Import ScheduleModule.forRoot() from ` +
        `@nestjs/schedule once in the root module, or leave out sweep and call SparkService.sweep() yourself.`,
    );
  }
}
