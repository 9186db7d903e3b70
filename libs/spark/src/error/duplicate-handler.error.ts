import { SparkError } from './spark.error.js';

/** Two handlers of one application share a name. Thrown at boot. */
export class DuplicateHandlerError extends SparkError {
  constructor(name: string, first: string, second: string) {
    super(
      `Two handlers are named "${name}": ${first} and ${second}. Deliveries are kept by handler name, so each needs one of ` +
        `its own: @GroupHandler(/…/, { name: "…" }).`,
    );
  }
}
