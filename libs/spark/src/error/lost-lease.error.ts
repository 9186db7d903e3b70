import { SparkError } from './spark.error.js';
import { shown } from './text-of.js';

/** A delivery is no longer this process's: it was too slow to renew its lease, and another one has taken over. */
export class LostLeaseError extends SparkError {
  constructor(key: string, handler: string) {
    super(
      `${shown(key)} for ${handler} was taken over by another process; what this one did in its transaction is rolled back.`,
    );
  }
}
