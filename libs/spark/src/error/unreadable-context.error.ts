import { messageOf } from './wording.js';
import { SparkError } from './spark.error.js';

/** An entity in an event's context could not be read for a reason of its own. The attempt has failed; `cause` says why. */
export class UnreadableContextError extends SparkError {
  constructor(entity: string, id: string, cause: unknown) {
    super(`${entity} ${id} in its context cannot be read: ${messageOf(cause)}`, { cause });
  }
}
