import type { EntityManager } from 'typeorm';
import { apart } from '../common/boot-context.js';
import type { SparkClock } from '../common/clock.js';
import { withoutDeadline } from '../database/statement-deadline.js';
import type { Transactions } from '../database/transactions.js';
import { LostLeaseError } from '../error/lost-lease.error.js';
import { RevokedManagerError } from '../error/revoked-manager.error.js';
import { shown } from '../error/text-of.js';
import { UndoneTransactionError } from '../error/undone-transaction.error.js';
import type { SparkEvent } from '../event/spark-event.js';
import { inChainOf } from '../event/chain.js';
import { type ChainLink, runIn, type Waited, workContext } from '../event/work-context.js';
import type { Handler } from '../handler/handler.registry.js';
import type { Around } from '../interceptor/around.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import type { InterceptedDelivery } from '../interceptor/spark-interceptor.decorator.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import { AbortableCall } from './abortable-call.js';
import type { AttemptCall } from './attempt-call.js';
import { completeAll } from './complete-all.js';
import { ScopeOfMany, ScopeOfOne } from './handler-scopes.js';
import { revocable } from './revocable.js';
import { type Run, runToEnd } from './run-to-end.js';
import { TooLate } from './too-late.js';

/**
 * The call of a handler with an event, or with the events of several deliveries. It runs inside of the interceptors, and in a
 * transaction if the handler is transactional.
 */
export class HandlerCall extends AbortableCall implements Run, AttemptCall {
  readonly takesSlot = true;
  /** Whether the transaction of the handler has committed. Then the delivery is completed, even if an interceptor fails afterwards. */
  private isCommitted = false;
  /** The interceptors that Spark waits for. While the handler runs inside of them, it has the handler's name. */
  private waited: Waited | undefined;

  constructor(
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly clock: SparkClock,
    handler: Handler,
    /** At least one. */
    private readonly claimed: readonly Delivery[],
    private readonly interceptors: Interceptors,
  ) {
    super(handler);
  }

  leave(): boolean {
    return true;
  }

  settle(): boolean {
    return true;
  }

  /** Calls the handler with the events of its deliveries. Throws what it throws, and why it was aborted. */
  handle(...events: SparkEvent[]): Promise<void> {
    const { aroundHandler } = this.interceptors;
    return aroundHandler ? this.handleWithin(aroundHandler, events) : this.handleItself(events);
  }

  /** Interceptors run around the transaction, too. The handler's `timeout` covers them. */
  private handleWithin(around: Around<InterceptedDelivery>, events: readonly SparkEvent[]): Promise<void> {
    const { name, options } = this.handler;
    const delivery = this.intercepted(events);
    const waited = (this.waited = this.newWaited(`an interceptor of ${name}`));
    const next = options.transactional
      ? () => this.unstopped(() => this.handleItself(events))
      : () => (this.inner = this.call(events));
    const ended = this.inTimeAround(() => this.within(waited, () => around(delivery, next)), waited);
    return options.transactional ? ended.catch((thrown) => this.afterCommit(thrown, events)) : ended;
  }

  private intercepted(events: readonly SparkEvent[]): InterceptedDelivery {
    const now = this.clock.now();
    const first = interceptedOf(this.claimed[0]!, events[0]!, now);
    if (!this.handler.batch) return first;
    return { ...first, batch: this.claimed.map((delivery, i) => interceptedOf(delivery, events[i]!, now)) };
  }

  /** An error of interceptors cannot undo a transaction that has committed. */
  private afterCommit(thrown: unknown, events: readonly SparkEvent[]): void {
    if (!this.isCommitted) throw thrown;
    const what = events.length === 1 ? `${shown(events[0]!.key)} is` : `${events.length} events are`;
    this.interceptors.report(`aroundHandler of ${this.handler.name}`, `${what} completed`, thrown);
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
    return waited && workContext().waited === waited ? this.inTime(work, waited, what) : this.inChain(what, work);
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
    const waited = this.newWaited(what);
    return this.inTime(() => this.within(waited, work), waited);
  }

  private newWaited(what: string): Waited {
    return { what, dataSource: this.transactions.manager.dataSource, isOver: false };
  }

  private within<T>(waited: Waited, work: () => T): T {
    const { depth, cause } = this.link;
    return apart(() => runIn({ depth: depth + 1, cause, waited }, work));
  }
}

const interceptedOf = (
  { id, handler, attempt, due }: Delivery,
  event: SparkEvent,
  now: number,
): InterceptedDelivery => {
  return { id, handler, attempt, event, lagMs: Math.max(0, now - due) };
};
