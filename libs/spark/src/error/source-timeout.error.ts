import { shown } from './text-of.js';
import { SparkError } from './spark.error.js';

/** A source has not ended in time. Spark ignores what it yields later. */
export class SourceTimeoutError extends SparkError {
  constructor(source: string, limit: number) {
    super(
      `${shown(source)} has not ended within ${limit} ms. Spark ignores what it yields later. Does it wait for something that does not ` +
        `answer? If it needs longer, raise its timeout: @EventSource(Entity, { timeout }), or sources.timeout for all sources.`,
    );
  }
}
