import { addMetadata } from '../common/decorator-metadata.js';
import type { EventMetadata } from '../event/event-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';

/** An attempt of a handler, as an interceptor sees it. */
export interface InterceptedDelivery {
  /** The id of the delivery, the same at each attempt. */
  readonly id: string;
  /** The name of the handler. */
  readonly handler: string;
  /** Which attempt this is, beginning with 1. */
  readonly attempt: number;
  /** The event that the handler gets. */
  readonly event: SparkEvent;
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
   * Adds to the metadata of an event. It is called just before the event is entered, in the async context of the change: that of the
   * request for what `emit` is given and for what a source finds within a save, that of the boot for what a recheck or a sweep finds.
   * The ledger may know the event already; then what is returned is not stored.
   *
   * @param event The event, as its source or the application has made it.
   * @returns What is to be added, or undefined for nothing. What the event has itself wins, then what inner interceptors add. What it
   *   throws, or what cannot be stored, is logged and counted in `status().counts.failedInterceptors`; the event is entered without it.
   *
   * @example
   * metadata() { return { traceparent: trace.getStore() }; }
   */
  metadata?(event: SparkEvent): EventMetadata | undefined;

  /**
   * Goes round each call of a handler, in its async context. Where the handler is `transactional`, it goes round the whole
   * transaction, from before BEGIN until after COMMIT. It does not go round `revalidate`.
   *
   * The handler's `timeout` counts for both together. When an attempt is told to stop, `next()` rejects, and the interceptor
   * has a second for what it does then.
   *
   * @param delivery Which event, for which handler, at which attempt.
   * @param next Calls the handler, once; called again, it returns the same promise. It rejects with the handler's error.
   * @returns The promise of `next()`, or one that follows it. What it throws is the handler's failure: it may be another error,
   *   such as DiscardDelivery. An interceptor that swallows an error does not make the attempt a success, and one that does not call `next()` fails it.
   *   What it throws after a transaction has committed is only logged and counted, as the delivery is completed.
   *
   * @example
   * async aroundHandler({ handler }: InterceptedDelivery, next: () => Promise<void>) {
   *   const started = performance.now();
   *   await next().finally(() => this.times.observe({ handler }, performance.now() - started));
   * }
   */
  aroundHandler?(delivery: InterceptedDelivery, next: () => Promise<void>): Promise<unknown>;

  /**
   * Goes round each run of a source on entities, in live saves, rechecks and sweeps: once for a source and all the entities that it
   * is run on together. `plan`, `explain` and `revalidate` are left alone.
   *
   * A source that reads its own row only is run within the transaction of the save. The save waits for the interceptor.
   *
   * @param run Which source, on how many entities of which class.
   * @param next Runs the source, once. It does not reject: what the source throws concerns single entities, which are rechecked.
   * @returns The promise of `next()`, or one that follows it. What it throws is the source's failure for all of these entities; they
   *   are rechecked. So it is where it does not call `next()`, or takes longer itself than the source's `timeout`.
   *
   * @example
   * aroundSource({ source }: InterceptedSource, next: () => Promise<void>) { return this.tracer.span(source, next); }
   */
  aroundSource?(run: InterceptedSource, next: () => Promise<void>): Promise<unknown>;

  /**
   * Is told of events that this process has entered, after their commit, in the async context of the change. Nobody waits for it, and
   * a process that ends may not call it. A handler is the place for what must not be lost.
   *
   * @param events Those that were new, at least one.
   * @returns Anything. What it throws, or rejects with, is logged and counted in `status().counts.failedInterceptors`.
   *
   * @example
   * onRecorded(events: readonly SparkEvent[]) { this.entered.inc(events.length); }
   */
  onRecorded?(events: readonly SparkEvent[]): unknown;
}

/** Which events and runs an interceptor is for. */
export interface SparkInterceptorOptions {
  /** The name of the DataSource. Default: those of every SparkModule. */
  dataSource?: string;
}

export interface InterceptorMetadata {
  options: SparkInterceptorOptions;
}

export const SPARK_INTERCEPTOR = Symbol.for('nestjs-spark.interceptor');

/**
 * Makes a provider an interceptor: it adds metadata to events, and goes round sources and handlers, for tracing, tenants, audits
 * and the like. The class is listed among the providers of a module, and must be a singleton; `@Injectable()` may stand beside it.
 *
 * @param options Which DataSource it is for.
 * @returns A class decorator. The application does not start where the class has none of the methods of
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
