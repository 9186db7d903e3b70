import { SparkError } from './spark.error.js';
import { shown } from './text-of.js';

/**
 * A chain of events is too deep: each event came from what a handler of the one before wrote. Spark logs the event and does not enter it.
 */
export class ChainTooDeepError extends SparkError {
  constructor(
    readonly key: string,
    readonly source: string,
    deepest: number,
    /** How long the chain pauses, in milliseconds. */
    readonly pause: number,
  ) {
    super(
      `${source} yielded ${shown(key)} at the end of a chain of ${deepest} events: each came from what a handler of the one before ` +
        `wrote. Spark does not enter it now, and rechecks the entity in ${pause / 60_000} min. Do handlers write what makes the source yield ` +
        `their events again under new keys?`,
    );
  }
}
