import type { EntityManager } from 'typeorm';
import { addMetadata } from '../common/decorator-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Backoff } from '../config/backoff.js';
import type { Duration } from '../config/spark.options.js';
import { groupPattern } from './group-pattern.js';

/** What a handler is told besides the event. */
export interface HandlerScope {
  /** Aborted at the handler's time-out, and when the process stops or loses its deliveries before the handler is done. */
  readonly signal: AbortSignal;
  /** Which attempt this is, beginning with 1. */
  readonly attempt: number;
  /** The id of the delivery: one event for one handler, the same at each attempt. */
  readonly deliveryId: string;
  /**
   * With `transactional: true`: the manager of the transaction that completes the delivery. What is written through it
   * happens exactly once. Throws NotTransactionalError otherwise.
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

/** How a handler's deliveries are treated. */
export interface GroupHandlerOptions {
  /** The name that deliveries are kept by. Set it, and a renamed class or method keeps its deliveries. Default: `Class.method`. */
  name?: string;
  /**
   * Names that the handler had before. What waits under them is this handler's, and an event that was delivered under one of them
   * is not delivered again. Keep an old name until no process has it any more. Default: none.
   */
  aliases?: readonly string[];
  /** How often a delivery is tried before it is discarded. Default: the module's `worker.maxAttempts`, 80. */
  maxAttempts?: number;
  /** How long a failed delivery waits. Default: `{ base: '1s', max: '1h' }`, doubling each time, half of it random. */
  backoff?: Backoff;
  /** How long it may take, in milliseconds or as text such as `'30s'`; its signal is aborted then, and the attempt has failed. Default: the module's `worker.handlerTimeout`, 1 hour. */
  timeout?: Duration;
  /** How many of its deliveries this process handles at once. Default: the module's `worker.concurrency`; one less where there are other handlers. */
  concurrency?: number;
  /** Which deliveries are claimed first: the lower, the sooner, −1,000 to 1,000. Among equals the longer due, and handlers with and without places of their own take turns. Default: 0. */
  priority?: number;
  /**
   * Whether the handler runs in a transaction that also completes the delivery. A database error that it swallows may have undone
   * that: then the attempt has failed. Default: false.
   */
  transactional?: boolean;
  /**
   * Whether the event's source is run again just before each attempt: an event that it does not yield any more is skipped.
   * Beware of handlers whose own writes make the source silent: those of its siblings that come later are skipped, too.
   * Events of `emit`, and those of a batch source that have a key of their own, are handled as without it. Default: false.
   *
   * @example
   * @GroupHandler(/^challenge_inactivity/, { name: 'nudges', revalidate: true })
   */
  revalidate?: boolean;
  /** What happens when an entity in the context is gone by then: the delivery is discarded, or handed over with `null` in its place. Default: 'discard'. */
  missing?: 'discard' | 'deliver';
  /** The name of the DataSource whose events are handled. Default: those of every SparkModule. */
  dataSource?: string;
}

export interface HandlerMetadata {
  pattern: RegExp;
  options: GroupHandlerOptions;
}

export const GROUP_HANDLER = Symbol.for('nestjs-spark.group-handler');

interface HandlerDecorator {
  <M extends (event: any, scope: HandlerScope) => unknown>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ): void;
  (target: new (...args: any[]) => SparkHandler): void;
}

/**
 * Makes a method (or a class with a method `handle`) handle every event whose group matches. It is called after the
 * event has committed, at least once, and completes once; a failing one is tried again.
 *
 * It may return a promise, an Observable, a generator, or a list of these: the delivery completes when that has ended, and fails
 * with its error. A function or a stream fails the attempt, as Spark cannot tell when its work is done.
 *
 * @param pattern A regular expression, or the source of one. It matches anywhere in the group unless anchored by `^` and
 *   `$`; the flags `g` and `y` are ignored.
 * @param options How its deliveries are treated.
 * @throws SyntaxError when the text is no regular expression; InvalidOptionsError when it is no text; NotAMethodError, StaticMethodError when it decorates
 *   something that cannot be called.
 *
 * @example
 * @GroupHandler(/^challenge/, { name: 'challenge-mails' })
 * async send(event: SparkEvent<{ challenge: Challenge }>, { attempt }: HandlerScope) { await this.mails.send(event); }
 */
export function GroupHandler(pattern: RegExp | string, options: GroupHandlerOptions = {}): HandlerDecorator {
  const value: HandlerMetadata = { pattern: groupPattern(pattern), options };
  return (target: object, key?: string | symbol) => addMetadata(GROUP_HANDLER, 'GroupHandler', value, target, key);
}
