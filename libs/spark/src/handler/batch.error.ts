import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { knownToAllCopies, SparkError } from '../error/spark.error.js';
import type { SparkEvent } from '../event/spark-event.js';

/** An event of a call, or its key. */
export type BatchedEvent = string | Pick<SparkEvent, 'key'>;

/**
 * A handler of many events throws this when some of them have failed. The others are completed. If the handler is transactional, its
 * transaction is rolled back, and it is called once more without those that failed.
 *
 * @example
 * const answers = await this.index.bulk(events.map(({ context }) => context.challenge));
 * const failed = events.filter((_, i) => answers[i].error);
 * if (failed.length > 0) throw new BatchError(failed, 'the index refuses them');
 *
 * @example
 * // An error for each: its delivery fails with that error, which may be a RetryLater or a DiscardDelivery.
 * throw new BatchError(new Map([[event, new DiscardDelivery('no such address')]]));
 */
export class BatchError extends SparkError {
  /** The keys of the events that have failed, each with its error. */
  readonly failed: ReadonlyMap<string, unknown>;

  /**
   * @param failed the events that have failed, or their keys; or a Map from these to an error for each
   * @param message the error of those that have none of their own; default: a general text
   * @throws InvalidOptionsError when `failed` is empty or something else; in a handler, this is a failure like any other
   */
  constructor(
    failed: readonly BatchedEvent[] | ReadonlySet<BatchedEvent> | ReadonlyMap<BatchedEvent, unknown>,
    message = 'some events of the call have failed',
    options?: ErrorOptions,
  ) {
    super(message, options);
    const entries = entriesOf(failed);
    // Otherwise a handler that forgets to ask whether any has failed would repeat all.
    if (entries.length === 0) throw new InvalidOptionsError('BatchError', failed, 'at least one event');
    this.failed = new Map(entries.map(([event, error]) => [keyOf(event), error ?? this]));
  }
}

function entriesOf(failed: unknown): [event: unknown, error: unknown][] {
  if (failed instanceof Map) return [...(failed as ReadonlyMap<unknown, unknown>)];
  if (!Array.isArray(failed) && !(failed instanceof Set))
    throw new InvalidOptionsError('BatchError', failed, 'a list, a Set or a Map of events or their keys');
  return [...(failed as Iterable<unknown>)].map((event) => [event, undefined]);
}

function keyOf(event: unknown): string {
  const key: unknown = typeof event === 'string' ? event : (Object(event) as Partial<SparkEvent>).key;
  if (typeof key === 'string') return key;
  throw new InvalidOptionsError('BatchError', event, 'an event, or its key');
}

knownToAllCopies(BatchError as unknown as typeof SparkError, 'BatchError');
