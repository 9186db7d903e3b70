import { shown } from './text-of.js';
import { SparkError } from './spark.error.js';

/** A source has not given its events in time. What it gives later is ignored. */
export class SourceTimeoutError extends SparkError {
  constructor(source: string, limit: number) {
    super(
      `${shown(source)} has not ended within ${limit} ms, and what it gives later is ignored. Does it wait for something that ` +
        `does not answer? Where it needs longer, raise its timeout: @EventSource(Entity, { timeout }), or sources.timeout for all.`,
    );
  }
}
