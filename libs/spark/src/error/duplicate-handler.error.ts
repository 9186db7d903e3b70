import { SparkError } from './spark.error.js';

/** Two handlers of one application share a name. Thrown at boot. */
export class DuplicateHandlerError extends SparkError {
  constructor(name: string, first: string, second: string) {
    super(
      `Two handlers are named "${name}": ${first} and ${second}. Deliveries belong to a handler name, so each handler needs a name ` +
        `of its own: @GroupHandler(/…/, { name: "…" }).`,
    );
  }
}
