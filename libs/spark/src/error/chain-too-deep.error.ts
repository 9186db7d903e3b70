import { SparkError } from './spark.error.js';
import { shown } from './text-of.js';

/** An event that too many events led to, each by what its handler wrote. It is logged and not entered. */
export class ChainTooDeepError extends SparkError {
  constructor(
    readonly key: string,
    readonly source: string,
    deepest: number,
    /** How long the chain rests, in milliseconds. */
    readonly pause: number,
  ) {
    super(
      `${source} yielded ${shown(key)}, which ${deepest} events in a row have led to, each by what a handler of it wrote. It is not ` +
        `entered now; the entity is rechecked in ${pause / 60_000} min. Do handlers write what makes their own events come true again under new keys?`,
    );
  }
}
