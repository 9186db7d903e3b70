import { SparkError } from './spark.error.js';
import { shown } from './text-of.js';

/** This process renewed its lease too late, and another process has claimed one of its deliveries. */
export class LostLeaseError extends SparkError {
  constructor(key: string, handler: string) {
    super(
      `${shown(key)} for ${handler} was taken over by another process; the transaction of this attempt is rolled back.`,
    );
  }
}
