import type { EntityManager } from 'typeorm';
import { addMetadata } from '../common/decorator-metadata.js';
import type { EventDefinition, EventOf } from '../event/event-definition.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Backoff } from '../config/backoff.js';
import type { Duration } from '../config/spark.options.js';
import type { BatchOptions, BatchScope } from './batch.js';
import { type GroupPattern, groupPattern } from './group-pattern.js';

/** What a handler gets besides the event. */
export interface HandlerScope {
  /** Aborted at the handler's time-out, and when the process stops or loses its lease before the handler has ended. */
  readonly signal: AbortSignal;
  /** Which attempt this is, beginning with 1. */
  readonly attempt: number;
  /** The id of the delivery, which is one event for one handler. It is the same in each attempt. */
  readonly deliveryId: string;
  /**
   * With `transactional: true`, the manager of the transaction that completes the delivery. Writes through it happen exactly once.
   *
   * @throws NotTransactionalError when the handler is not transactional
   */
  readonly manager: EntityManager;
}

/**
 * A class that is a handler as a whole.
 *
 * @example
 * @GroupHandler(/^challenge/, { name: 'challenge-mails' })
 * @Injectable()
 * export class ChallengeMails implements SparkHandler<{ challenge: Challenge }> {
 *   async handle(event: SparkEvent<{ challenge: Challenge }>) { … }
 * }
 */
export interface SparkHandler<C = any> {
  handle(event: SparkEvent<C>, scope: HandlerScope): unknown;
}

/** Options of a handler. */
export interface GroupHandlerOptions {
  /** The name that deliveries belong to. Set it, so that a renamed class or method keeps its deliveries. Default: `Class.method`. */
  name?: string;
  /**
   * Names that the handler had before. Deliveries under these names belong to this handler, and an event that was delivered under one
   * of them is not delivered again. Keep an old name until no process uses it any more. Default: none.
   */
  aliases?: readonly string[];
  /** How often Spark tries a delivery before it discards it. Default: the module's `worker.maxAttempts`, 80. */
  maxAttempts?: number;
  /**
   * How long a failed delivery waits. Default: `{ base: '1s', max: '1h' }`; the time doubles with each attempt, and half of it is random.
   */
  backoff?: Backoff;
  /**
   * How long the handler may take, in milliseconds or as text such as `'30s'`. Then Spark aborts its signal, and the attempt has failed.
   * Default: the module's `worker.handlerTimeout`, 1 hour.
   */
  timeout?: Duration;
  /**
   * How many of its deliveries this process handles at once. Default: the module's `worker.concurrency`, or one less if there are other
   * handlers.
   */
  concurrency?: number;
  /**
   * How many of its deliveries may begin within a time, in all processes together. No span of that length has more, whatever ends a
   * process. What waits delays no other handler. Default: no limit.
   *
   * @example
   * rateLimit: { max: 100, per: '1 minute' }
   * rateLimit: { max: 5, per: '1s', key: 'tenant' } // for each tenant
   */
  rateLimit?: RateLimit;
  /**
   * How many of its deliveries all processes together handle at once. All processes must have the same number. Default: no limit.
   */
  fleetConcurrency?: number;
  /**
   * The name of a field in the metadata of its events, such as a tenant. Deliveries with the same value are a partition, and the
   * partitions take turns: one with many deliveries does not delay the others. Default: the `key` of `rateLimit`, if it has one.
   *
   * @example
   * @GroupHandler(/^mail/, { name: 'mails', fairBy: 'tenant' })
   * // with events such as sparkEvent('mail', id, context, { metadata: { tenant: 'acme' } })
   */
  fairBy?: string;
  /**
   * Which deliveries are claimed first, from −1,000 to 1,000: those with a lower number, and among equals those that are longer due.
   * Handlers with a `concurrency` of their own and handlers without one alternate. Default: 0.
   */
  priority?: number;
  /**
   * Whether the handler runs in a transaction that also completes the delivery. If the handler catches a database error that has rolled
   * the transaction back, the attempt has failed. Default: false.
   */
  transactional?: boolean;
  /**
   * Whether Spark runs the event's source again just before each attempt, and skips the delivery if the source no longer yields the
   * event. Beware of handlers that write what makes the source stop yielding: other handlers of the event that come later are skipped.
   * The option has no effect for events of `emit`, and for events of a batch source that have a key of their own. Default: false.
   *
   * @example
   * @GroupHandler(/^challenge_inactivity/, { name: 'nudges', revalidate: true })
   */
  revalidate?: boolean;
  /**
   * What happens when an entity in the context is gone: `'discard'` discards the delivery; `'deliver'` passes `null` in place of the
   * entity. Default: `'discard'`.
   */
  missing?: 'discard' | 'deliver';
  /** The name of the DataSource whose events the handler gets. Default: those of every SparkModule. */
  dataSource?: string;
  /** Given for handlers of many events only, as {@link BatchHandlerOptions}. */
  batch?: undefined;
}

/** Options of a handler of many events. Its limits (`concurrency`, `fleetConcurrency`, `rateLimit`) count calls. */
export interface BatchHandlerOptions<E = SparkEvent<any, any>> extends Omit<GroupHandlerOptions, 'batch'> {
  /**
   * Lets the handler get lists of events.
   *
   * @example
   * @GroupHandler(/^challenge/, { name: 'search-index', batch: { max: 500, wait: '50ms' } })
   * async index(events: SparkEvent<{ challenge: Challenge }>[]) { … }
   */
  batch: BatchOptions<E>;
}

/** How often a handler may begin a delivery. */
export interface RateLimit {
  /** How many deliveries may begin within the time. */
  readonly max: number;
  /** The time, in milliseconds or as text such as `'1 minute'`; at least a second. */
  readonly per: Duration;
  /** The name of a field in the metadata of the events. Each value of the field has a limit of its own. Default: one limit for all. */
  readonly key?: string;
}

export interface HandlerMetadata extends GroupPattern {
  readonly options: GroupHandlerOptions | BatchHandlerOptions;
}

export const GROUP_HANDLER = Symbol.for('nestjs-spark.group-handler');

interface HandlerDecorator<E> {
  <M extends (event: E, scope: HandlerScope) => unknown>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<M> & NoList<M>,
  ): void;
  // A property, because the compiler compares the parameters of methods less strictly.
  <M extends (event: E, scope: HandlerScope) => unknown>(
    target: (new (...args: any[]) => { handle: M }) & NoList<M>,
  ): void;
}

/** Without `batch`, a handler gets no list, even where the type of its events is not known. */
type NoList<M extends (...given: any[]) => unknown> = Parameters<M>[0] extends readonly unknown[] ? never : unknown;

interface BatchHandlerDecorator<E> {
  <M extends (events: E[], scope: BatchScope) => unknown>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ): void;
  (target: new (...args: any[]) => { handle: (events: E[], scope: BatchScope) => unknown }): void;
}

/**
 * Makes a method (or a class with a method `handle`) a handler of every event whose group matches a regular expression, or of the events
 * of definitions. Spark calls it after the commit of the event, at least once, and completes its delivery once. If it fails, Spark tries
 * again.
 *
 * It may return a promise, an Observable, a generator, or a list of these. The delivery completes when that has ended, and fails with
 * its error. If it returns a function or a stream, the attempt fails, because Spark cannot know when its work is done.
 *
 * @param pattern a regular expression, or the source of one. It matches anywhere in the group unless `^` and `$` anchor it. The flags
 *   `g` and `y` are ignored. Or what `defineEvent` returned, or a list of these: the handler gets exactly these groups, and the compiler
 *   checks its parameter.
 * @param options the options of the handler. With `batch`, it gets lists of events
 * @throws SyntaxError when the text is not a regular expression; InvalidOptionsError when the pattern is something else, or a list that
 *   is empty or has a group twice; NotAMethodError, StaticMethodError when it decorates something that Spark cannot call
 *
 * @example
 * @GroupHandler(/^challenge/, { name: 'challenge-mails' })
 * async send(event: SparkEvent<{ challenge: Challenge }>, { attempt }: HandlerScope) { await this.mails.send(event); }
 *
 * @example
 * @GroupHandler([challengeCreated, challengeEnded], { name: 'statistics' })
 * async count(event: EventOf<typeof challengeCreated | typeof challengeEnded>) { … }
 *
 * @example
 * @GroupHandler(/^challenge/, { name: 'search-index', batch: { max: 500, wait: '50ms' } })
 * async index(events: SparkEvent<{ challenge: Challenge }>[], { signal }: BatchScope) { … }
 */
export function GroupHandler(pattern: RegExp | string, options?: GroupHandlerOptions): HandlerDecorator<any>;
export function GroupHandler(pattern: RegExp | string, options: BatchHandlerOptions): BatchHandlerDecorator<any>;
export function GroupHandler<const D extends EventDefinition>(
  definitions: D | readonly D[],
  options?: GroupHandlerOptions,
): HandlerDecorator<EventOf<D>>;
export function GroupHandler<const D extends EventDefinition>(
  definitions: D | readonly D[],
  options: BatchHandlerOptions<EventOf<D>>,
): BatchHandlerDecorator<EventOf<D>>;
export function GroupHandler(
  pattern: RegExp | string | EventDefinition | readonly EventDefinition[],
  options: GroupHandlerOptions | BatchHandlerOptions<never> = {},
): (target: object, key?: string | symbol) => void {
  const value: HandlerMetadata = { ...groupPattern(pattern), options: options as HandlerMetadata['options'] };
  return (target: object, key?: string | symbol) => addMetadata(GROUP_HANDLER, 'GroupHandler', value, target, key);
}
