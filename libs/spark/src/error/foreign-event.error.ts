import { shown } from './text-of.js';
import { SparkError } from './spark.error.js';

/** A BatchError names an event that was not in the call. All events of the call have failed. */
export class ForeignEventError extends SparkError {
  constructor(handler: string, key: string, cause: Error) {
    super(
      `${handler} has thrown a BatchError for ${shown(key)}, which is no event of this call, so all of its events count as failed. ` +
        `Give BatchError events of the list that the handler got, or their keys. It said: ${cause.message}`,
      { cause },
    );
  }
}
