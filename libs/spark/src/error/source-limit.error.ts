import { SparkError } from './spark.error.js';

/** A source yields without end. */
export class SourceLimitError extends SparkError {
  constructor(source: string, limit: number) {
    super(
      `${source} gave more than ${limit} events for one entity and was cut there; none of them was entered. ` +
        `An endless loop? Events derive from one entity: yield a few for each.`,
    );
  }
}
