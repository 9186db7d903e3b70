import type { EntityManager } from 'typeorm';
import type { Duration } from '../config/spark.options.js';
import type { SparkEvent } from '../event/spark-event.js';

/** A time of each day in which a digest is not called. */
export interface QuietHours {
  /** When it begins: a local time such as `'22:00'`. */
  readonly from: string;
  /** When it ends: a local time such as `'07:00'`. If that is before `from`, it is of the next day. */
  readonly to: string;
  /** The IANA name of a time zone, such as `'Europe/Berlin'`. Default: `'UTC'`. */
  readonly timeZone?: string;
}

/** How the events of a handler of many events come together in a call. */
export interface BatchOptions<E = SparkEvent<any, any>> {
  /** How many events a call has at most, from 1 to 1,000. Default: 100. */
  readonly max?: number;
  /**
   * How long the first event of a call waits for more, in milliseconds or as text such as `'50ms'`. Without `by`, a call with `max` events
   * begins at once. With `by`, it is the length of the window, and must be given. Default: a call has what is there.
   */
  readonly wait?: Duration;
  /**
   * Makes calls digests: a function that returns the key of an event, such as its recipient. A call has events of one key. The first
   * event of a key opens a window of the length of `wait`, and all events of the key up to its end are in one call, over all processes.
   * It gets the event as the handler does. If it throws, the attempt of that event has failed. Default: no keys.
   *
   * @example
   * batch: { by: ({ context }) => context.donation.recipient, wait: '1h' }
   */
  readonly by?: (event: E) => string | number;
  /** A time of each day in which no digest is called, or a function that returns it for an event. It needs `by`. Default: none. */
  readonly quiet?: QuietHours | ((event: E) => QuietHours | undefined);
  /** How long after a call that succeeded there is no other of the same key. It needs `by`. Default: no such time. */
  readonly throttle?: Duration;
}

/** What a handler of many events gets besides the events. */
export interface BatchScope {
  /** Aborted at the handler's time-out, and when the process stops or loses its lease before the handler has ended. */
  readonly signal: AbortSignal;
  /** The key of a digest; undefined without `by`, and for an event that is called alone after a process died at it. */
  readonly key: string | undefined;
  /** The ids of the deliveries, in the order of the events. They are the same in each attempt. */
  readonly deliveryIds: readonly string[];
  /** Which attempt this is of each event, beginning with 1, in the order of the events. */
  readonly attempts: readonly number[];
  /**
   * With `transactional: true`, the manager of the transaction that completes the deliveries. Writes through it happen exactly once.
   *
   * @throws NotTransactionalError when the handler is not transactional
   */
  readonly manager: EntityManager;
}

/**
 * A class that is a handler of many events as a whole.
 *
 * @example
 * @GroupHandler(/^challenge/, { name: 'search-index', batch: { max: 500, wait: '50ms' } })
 * @Injectable()
 * export class SearchIndex implements SparkBatchHandler<{ challenge: Challenge }> {
 *   async handle(events: readonly SparkEvent<{ challenge: Challenge }>[]) { … }
 * }
 */
export interface SparkBatchHandler<C = any> {
  handle(events: readonly SparkEvent<C>[], scope: BatchScope): unknown;
}
