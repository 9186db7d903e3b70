import type { EntityManager } from 'typeorm';
import { apart } from '../common/boot-context.js';
import { SparkLog } from '../common/spark-log.js';
import type { SparkClock } from '../common/clock.js';
import { withoutDeadline } from '../database/statement-deadline.js';
import type { Transactions } from '../database/transactions.js';
import { HandlerTimeoutError } from '../error/handler-timeout.error.js';
import { LostLeaseError } from '../error/lost-lease.error.js';
import { RevokedManagerError } from '../error/revoked-manager.error.js';
import { lineOf, shown } from '../error/text-of.js';
import { UndoneTransactionError } from '../error/undone-transaction.error.js';
import type { SparkEvent } from '../event/spark-event.js';
import { inChainOf } from '../event/chain.js';
import { type ChainLink, runIn, type Waited, workContext } from '../event/work-context.js';
import type { Handler } from '../handler/handler.registry.js';
import type { Around } from '../interceptor/around.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import type { InterceptedDelivery } from '../interceptor/spark-interceptor.decorator.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { AttemptCall } from './attempt-call.js';
import { completeAll } from './complete-all.js';
import { Deadline } from './deadline.js';
import { ScopeOfMany, ScopeOfOne } from './handler-scopes.js';
import { revocable } from './revocable.js';
import { type Run, runToEnd } from './run-to-end.js';
import { TooLate } from './too-late.js';

const logger = new SparkLog();
// How long interceptors may take after the call was aborted, in milliseconds.
const MOMENT = 1_000;

/**
 * The call of a handler with an event, or with the events of several deliveries. It runs inside of the interceptors, and in a transaction if the handler is transactional, until it
 * ends, fails, reaches its timeout or is aborted.
 */
export class HandlerCall implements Run, AttemptCall {
  readonly takesSlot = true;
  /** Created at the first read of `signal`, because most handlers do not read it. */
  private controller: AbortController | undefined;
  private stopped: Error | undefined;
  private stop: ((reason: Error) => void) | undefined;
  /** Whether the transaction of the handler has committed. Then the delivery is completed, even if an interceptor fails afterwards. */
  private isCommitted = false;
  /** What Spark waits for: the handler, or the interceptors around it. */
  private waited: Waited | undefined;
  /** Functions that end the work that the handler returned, called when the call is over. */
  private ends: (() => void)[] | undefined;

  constructor(
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly clock: SparkClock,
    private readonly handler: Handler,
    /** At least one. */
    private readonly claimed: readonly Delivery[],
    private readonly interceptors: Interceptors,
  ) {}

  /** Aborts `scope.signal` and ends the call at once, even if the handler goes on. */
  abort(reason: Error): void {
    if (this.stopped) return;
    this.stopped = reason;
    this.controller?.abort(reason);
    this.stop?.(reason);
  }

  leave(): boolean {
    return true;
  }

  settle(): boolean {
    return true;
  }

  get handlerName(): string {
    return this.handler.name;
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.stopped) this.controller.abort(this.stopped);
    }
    return this.controller.signal;
  }

  /** Calls the handler with the events of its deliveries. Throws what it throws, and why it was aborted. */
  handle(...events: SparkEvent[]): Promise<void> {
    const { aroundHandler } = this.interceptors;
    return aroundHandler ? this.handleWithin(aroundHandler, events) : this.handleItself(events);
  }

  /** Interceptors run around the transaction, too. The handler's `timeout` covers them. */
  private handleWithin(around: Around<InterceptedDelivery>, events: readonly SparkEvent[]): Promise<void> {
    const { name, options, batch } = this.handler;
    const now = this.clock.now();
    const all = this.claimed.map(({ id, attempt, due }, i) => {
      return { id, handler: name, attempt, event: events[i]!, lagMs: Math.max(0, now - due) };
    });
    const delivery: InterceptedDelivery = batch ? { ...all[0]!, batch: all } : all[0]!;
    const next = options.transactional ? () => this.handleInTransactionWithin(events) : () => this.call(events);
    const ended = this.inChain(`an interceptor of ${name}`, () => around(delivery, next));
    return options.transactional ? ended.catch((thrown) => this.afterCommit(thrown, events)) : ended;
  }

  /** An error of interceptors cannot undo a transaction that has committed. */
  private afterCommit(thrown: unknown, events: readonly SparkEvent[]): void {
    if (!this.isCommitted) throw thrown;
    const what = events.length === 1 ? `${shown(events[0]!.key)} is` : `${events.length} events are`;
    this.interceptors.report(`aroundHandler of ${this.handler.name}`, `${what} completed`, thrown);
  }

  /** Runs the transaction inside of interceptors. An abort ends the handler, not the attempt, until its transaction has ended. */
  private async handleInTransactionWithin(events: readonly SparkEvent[]): Promise<void> {
    if (this.stopped) throw this.stopped;
    const stopAround = this.stop;
    this.stop = undefined;
    try {
      await this.handleItself(events);
    } finally {
      this.endPart(stopAround);
    }
  }

  /** Ends an inner part of the call. If it was aborted, the interceptors around it have MOMENT to end. */
  private endPart(stopAround: ((reason: Error) => void) | undefined): void {
    this.stop = stopAround;
    if (this.stopped && stopAround) setTimeout(stopAround, MOMENT, this.stopped).unref();
  }

  /** Of many events, the one whose chain is longest counts as the cause of what the handler writes. */
  private get link(): ChainLink {
    let [longest] = this.claimed as [Delivery];
    for (const delivery of this.claimed) if (delivery.event.depth > longest.event.depth) longest = delivery;
    return { depth: longest.event.depth, cause: longest.eventId };
  }

  private handleItself(events: readonly SparkEvent[]): Promise<void> {
    if (!this.handler.options.transactional) return this.call(events);
    // The events of what it writes enter before its transaction commits.
    return inChainOf(this.link, () => this.handleInTransaction(events));
  }

  private async handleInTransaction(events: readonly SparkEvent[]): Promise<void> {
    const revoke = await this.transactions.runOnce((manager) => this.callIn(manager, events));
    this.isCommitted = true;
    revoke();
  }

  /**
   * Completes the deliveries first and calls the handler then. The completion locks the rows, so no other process can take a delivery
   * over, and it commits together with what the handler writes.
   */
  private async callIn(manager: EntityManager, events: readonly SparkEvent[]): Promise<() => void> {
    const started = performance.now();
    const lost = await completeAll(manager, this.deliveries, this.claimed, this.clock.now());
    if (lost) throw new LostLeaseError(lost.event.key, this.handler.name);
    const revoke = revocable(manager, () => new RevokedManagerError(this.handler.name));
    try {
      await withoutDeadline(manager.queryRunner, () => this.call(events, manager));
    } catch (error) {
      revoke();
      throw error;
    }
    const durationMs = Math.round(performance.now() - started);
    if (!(await this.deliveries.confirmCompleted(manager, this.claimed, durationMs)))
      throw new UndoneTransactionError(this.handler.name);
    return revoke;
  }

  private call(events: readonly SparkEvent[], manager?: EntityManager): Promise<void> {
    const what = `the handler ${this.handler.name}`;
    const work = () => runToEnd(this.begin(events, manager), this);
    const { waited } = this;
    // An interceptor may call next() elsewhere, from a queue for example.
    return waited && workContext().waited === waited ? this.inContextOf(waited, what, work) : this.inChain(what, work);
  }

  /** The same as `inChain`, inside of interceptors that run in this context already. */
  private inContextOf<T>(waited: Waited, what: string, work: () => T): Promise<Awaited<T>> {
    const { what: around } = waited;
    waited.what = what;
    return this.inTime(work, () => (waited.what = around));
  }

  /** Calls the handler, unless it would begin later than the rate limit has counted. */
  private begin(events: readonly SparkEvent[], manager: EntityManager | undefined): unknown {
    const { handler, claimed } = this;
    for (const { startBy } of claimed)
      if (startBy !== undefined && performance.now() > startBy) throw new TooLate(handler.name);
    if (handler.batch) return handler.call([...events], new ScopeOfMany(this, claimed, manager));
    return handler.call(events[0]!, new ScopeOfOne(this, claimed[0]!, manager));
  }

  /** Runs code of the application in time, one step further down the event's chain. Such code must not wait for Spark. */
  private inChain<T>(what: string, work: () => T): Promise<Awaited<T>> {
    const waited: Waited = { what, dataSource: this.transactions.manager.dataSource, isOver: false };
    this.waited ??= waited;
    const { depth, cause } = this.link;
    const context = { depth: depth + 1, cause, waited };
    return this.inTime(
      () => apart(() => runIn(context, work)),
      () => (waited.isOver = true),
    );
  }

  /** Adds a function that ends the work of the handler early. */
  onEnd(end: () => void): void {
    (this.ends ??= []).push(end);
  }

  /** Waits for code of the application until it ends, reaches its timeout, or the call is aborted. How it ends later is ignored. */
  inTime<T>(work: () => T, onSettled?: () => void): Promise<Awaited<T>> {
    // There are many calls, and each promise costs time. So this is written without `await` and `finally`.
    return new Promise((resolve, reject) => {
      if (this.stopped) throw this.stopped;
      const stopAround = this.stop;
      let deadline: Deadline | undefined;
      const settle = <V>(by: (value: V) => void, value: V) => {
        deadline?.end();
        if (this.stop === fail) this.endPart(stopAround);
        onSettled?.();
        for (const end of this.ends?.splice(0) ?? []) quietly(end);
        by(value);
      };
      const fail = (error: unknown) => settle(reject, error);
      this.stop = fail;
      try {
        const ended = Promise.resolve(work());
        // The deadline of the interceptors around it comes first.
        if (!stopAround) deadline = this.deadline();
        ended.then((result) => settle(resolve, result), fail);
      } catch (error) {
        fail(error);
      }
    });
  }

  private deadline(): Deadline | undefined {
    const { name, timeout } = this.handler;
    return timeout === undefined
      ? undefined
      : new Deadline(timeout, () => this.abort(new HandlerTimeoutError(name, timeout)));
  }
}

// An error here cannot change how the attempt ended, so it is only logged.
function quietly(end: () => void): void {
  try {
    end();
  } catch (error) {
    logger.debug(`The result of a handler could not be ended: ${lineOf(error)}`, { error });
  }
}
