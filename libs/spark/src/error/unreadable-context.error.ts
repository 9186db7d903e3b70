import { messageOf } from './wording.js';
import { SparkError } from './spark.error.js';

/** Spark could not read one entity in an event's context, while the database works. The attempt has failed; `cause` is the reason. */
export class UnreadableContextError extends SparkError {
  constructor(entity: string, id: string, cause: unknown) {
    super(`${entity} ${id} in its context cannot be read: ${messageOf(cause)}`, { cause });
  }
}
