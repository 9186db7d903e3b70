import { addMetadata } from '../common/decorator-metadata.js';
import type { EventMetadata } from '../event/event-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';

/** An attempt of a handler, as an interceptor sees it. A call with many events is one: its fields are those of the first event. */
export interface InterceptedDelivery {
  /** The id of the delivery, the same at each attempt. */
  readonly id: string;
  /** The name of the handler. */
  readonly handler: string;
  /** Which attempt this is, beginning with 1. */
  readonly attempt: number;
  /**
   * How long after it was due the attempt begins, in milliseconds: the time that the delivery has waited for a free worker. Of one that a
   * carrier has brought: how long after it was sent.
   */
  readonly lagMs: number;
  /** The event that the handler gets. */
  readonly event: SparkEvent;
  /** All deliveries of a call with many events, in the order of the events; undefined if the handler gets single events. */
  readonly batch?: readonly InterceptedDelivery[];
}

/** A run of a source on some entities, as an interceptor sees it. */
export interface InterceptedSource {
  /** The name of the source. */
  readonly source: string;
  /** The name of the entity class. */
  readonly entity: string;
  /** How many entities there are. */
  readonly count: number;
}

/**
 * What an interceptor can do. All methods are optional; a class needs one of them.
 *
 * Several interceptors nest in the order in which Nest lists the providers: the first one is the outermost.
 *
 * @example
 * const tenants = new AsyncLocalStorage<string>();
 *
 * @SparkInterceptor()
 * export class Tenants implements SparkInterceptorHooks {
 *   metadata() {
 *     return { tenant: tenants.getStore() };
 *   }
 *   aroundHandler({ event }: InterceptedDelivery, next: () => Promise<void>) {
 *     return tenants.run(event.metadata?.tenant as string, next);
 *   }
 * }
 */
export interface SparkInterceptorHooks {
  /**
   * Adds to the metadata of an event. Spark calls it just before it enters the event, in the async context of the change. That is the
   * context of the request for events of `emit` and of saves, and the context of the boot for events of rechecks and sweeps. If the key
   * is in the ledger already, the returned metadata is not stored.
   *
   * @param event The event, as its source or the application has created it.
   * @returns The metadata to add, or undefined for none. The event's own metadata overrides it, and so does that of inner interceptors.
   *   If it throws, or returns metadata that cannot be stored, Spark logs that, counts it in `status().counts.failedInterceptors` and
   *   enters the event without it.
   *
   * @example
   * metadata() { return { traceparent: trace.getStore() }; }
   */
  metadata?(event: SparkEvent): EventMetadata | undefined;

  /**
   * Runs around each call of a handler, in its async context: once for all events of a call with many. If the handler is
   * `transactional`, it runs around the whole transaction, from before BEGIN until after COMMIT. It does not run around `revalidate`.
   *
   * The handler's `timeout` covers the handler with its interceptors. When an attempt is aborted, `next()` rejects, and the interceptor
   * has one more second to end.
   *
   * @param delivery The event, the handler and the attempt.
   * @param next Calls the handler once. Further calls return the same promise. It rejects with the handler's error.
   * @returns The promise of `next()`, which costs least, or one that follows it. If it throws, the attempt fails with that error, which
   *   may be another one than the handler's, such as DiscardDelivery. An interceptor that swallows an error does not make the attempt a
   *   success. One that does not call `next()` fails the attempt. After a transaction has committed, the delivery is completed, so an
   *   error is only logged and counted.
   *
   * @example
   * aroundHandler({ handler }: InterceptedDelivery, next: () => Promise<void>) {
   *   const started = performance.now();
   *   return next().finally(() => this.times.observe({ handler }, performance.now() - started));
   * }
   */
  aroundHandler?(delivery: InterceptedDelivery, next: () => Promise<void>): Promise<unknown>;

  /**
   * Runs around each run of a source on entities, in live saves, rechecks and sweeps: once for a source and all the entities of the run.
   * It does not run in `plan`, `explain` and `revalidate`.
   *
   * A source that reads only its own row runs within the transaction of the save. Then the save waits for the interceptor.
   *
   * @param run The source, the entity class and the number of entities.
   * @param next Runs the source once. It does not reject, because errors of the source concern single entities, which are rechecked.
   * @returns The promise of `next()`, or one that follows it. If it throws, does not call `next()`, or itself takes longer than the
   *   source's `timeout`, the source counts as failed for all of these entities, and they are rechecked.
   *
   * @example
   * aroundSource({ source }: InterceptedSource, next: () => Promise<void>) { return this.tracer.span(source, next); }
   */
  aroundSource?(run: InterceptedSource, next: () => Promise<void>): Promise<unknown>;

  /**
   * Gets the events that this process has entered, after their commit, in the async context of the change. Spark does not wait for it,
   * and a process that ends may not call it. Use a handler for work that must not be lost.
   *
   * @param events The new events, at least one.
   * @returns Any value. If it throws or rejects, Spark logs that and counts it in `status().counts.failedInterceptors`.
   *
   * @example
   * onRecorded(events: readonly SparkEvent[]) { this.entered.inc(events.length); }
   */
  onRecorded?(events: readonly SparkEvent[]): unknown;

  /**
   * Gets the events that were not entered because their keys were in the ledger already: those that a save, a recheck or `emit` of this
   * process has made once more. Spark calls it after the commit, as it calls `onRecorded`. It does not get what a sweep has found again:
   * a sweep leaves known events out before it enters the others.
   *
   * @param events The known events, at least one.
   * @returns Any value. If it throws or rejects, Spark logs that and counts it in `status().counts.failedInterceptors`.
   *
   * @example
   * onKnown(events: readonly SparkEvent[]) { this.known.inc(events.length); }
   */
  onKnown?(events: readonly SparkEvent[]): unknown;
}

/** Options of an interceptor. */
export interface SparkInterceptorOptions {
  /** The name of the DataSource that it is for. Default: those of every SparkModule. */
  dataSource?: string;
}

export interface InterceptorMetadata {
  options: SparkInterceptorOptions;
}

export const SPARK_INTERCEPTOR = Symbol.for('nestjs-spark.interceptor');

/**
 * Makes a provider an interceptor. It can add metadata to events and run code around sources and handlers, for example for tracing,
 * tenants or audits. List the class among the providers of a module. It must be a singleton, and may have `@Injectable()` as well.
 *
 * @param options The DataSource that it is for.
 * @returns A class decorator. The application does not start if the class has none of the methods of
 *   {@link SparkInterceptorHooks} (MissingHookError), or is request-scoped (RequestScopedError).
 *
 * @example
 * @SparkInterceptor()
 * export class Tracing implements SparkInterceptorHooks {
 *   aroundHandler({ handler, event }: InterceptedDelivery, next: () => Promise<void>) {
 *     return this.tracer.span(`${handler} ${event.group}`, next);
 *   }
 * }
 */
export function SparkInterceptor(
  options: SparkInterceptorOptions = {},
): (target: new (...args: any[]) => SparkInterceptorHooks) => void {
  const value: InterceptorMetadata = { options };
  return (target) => addMetadata(SPARK_INTERCEPTOR, 'SparkInterceptor', value, target);
}
