import { SparkError } from './spark.error.js';
import { shown } from './text-of.js';

/** An event that too many events led to, each by what its handler wrote. It is logged and not entered. */
export class ChainTooDeepError extends SparkError {
  constructor(
    readonly key: string,
    readonly source: string,
    deepest: number,
  ) {
    super(
      `${source} yielded ${shown(key)}, which ${deepest} events in a row have led to, each by what a handler of it wrote. It is not ` +
        `entered now; the entity is looked at again in a minute. Do handlers write what makes their own events come true again under new keys?`,
    );
  }
}
