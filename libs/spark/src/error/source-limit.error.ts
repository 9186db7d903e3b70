import { SparkError } from './spark.error.js';

/** A source yields more events for one entity than the limit allows. */
export class SourceLimitError extends SparkError {
  constructor(source: string, limit: number) {
    super(
      `${source} yielded more than ${limit} events for one entity. Spark stopped it and entered none of them. ` +
        `Does it loop for ever? Events derive from one entity: yield a few for each.`,
    );
  }
}
