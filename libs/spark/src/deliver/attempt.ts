import { Logger } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import { backoffDelay } from '../config/backoff.js';
import type { Reading } from './contexts.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import { revocable } from './revocable.js';
import { NotKnownHere, Undecided } from './undecided.js';
import { withoutDeadline } from '../database/statement-deadline.js';
import type { Transactions } from '../database/transactions.js';
import { DiscardDelivery } from '../error/discard-delivery.error.js';
import { HandlerTimeoutError } from '../error/handler-timeout.error.js';
import { LostLeaseError } from '../error/lost-lease.error.js';
import { NotTransactionalError } from '../error/not-transactional.error.js';
import { RetryLater } from '../handler/retry-later.error.js';
import { RevokedManagerError } from '../error/revoked-manager.error.js';
import { UndoneTransactionError } from '../error/undone-transaction.error.js';
import { WorkerStoppedError } from '../error/worker-stopped.error.js';
import { inChainOf } from '../event/chain.js';
import { readMetadata } from '../event/event-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';
import { waitedFor } from '../event/waited-for.js';
import type { HandlerScope } from '../handler/group-handler.decorator.js';
import type { Handler, HandlerRegistry } from '../handler/handler.registry.js';
import type { Around } from '../interceptor/around.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import type { InterceptedDelivery } from '../interceptor/spark-interceptor.decorator.js';
import { runToEnd } from './run-to-end.js';
import { parseTimeout } from '../config/option-parsers.js';
import { linesOf, lineOf, shown, textOf } from '../error/text-of.js';
import type { StillWanted } from './still-wanted.js';

const logger = new Logger('Spark');
// How long interceptors may take once an attempt was told to stop, in milliseconds.
const MOMENT = 1_000;

/**
 * How an attempt ended. `error` is what the row keeps of what was `thrown`. `persisted` tells that the delivery's row says so already; `stopped` that the process made it end; `undecided`
 * that it cannot be begun here, as `lacking` is not known here or the database is away.
 */
export type Outcome =
  | { readonly state: 'completed'; readonly persisted: boolean }
  | { readonly state: 'discarded'; readonly error: string; readonly thrown?: unknown; readonly keepsError?: true }
  | { readonly state: 'skipped'; readonly error: string }
  | { readonly state: 'stopped'; readonly error: string }
  | { readonly state: 'undecided'; readonly error: string; readonly lacking: NotKnownHere | undefined }
  | {
      readonly state: 'available';
      readonly error: string;
      readonly thrown: unknown;
      readonly due: number;
      readonly charged: boolean;
    };

/** Calls a handler with a delivery, in a transaction where it asks for one, until it ends, fails, or is told to stop. */
export class Attempt {
  readonly since = new Date();
  /** Made when somebody asks for its signal: most handlers do not. */
  private controller: AbortController | undefined;
  private stopped: Error | undefined;
  private stop: ((reason: Error) => void) | undefined;
  /** Whether the transaction of the handler has committed: then it is completed, whatever comes. */
  private isCommitted = false;
  /** What ends the work that the handler returned, once nobody waits for it any more. */
  private readonly ends: (() => void)[] = [];

  constructor(
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly wanted: StillWanted,
    private readonly clock: SparkClock,
    readonly handler: Handler,
    readonly delivery: Delivery,
    private readonly maxAttempts: number,
    /** Whether the process that had it before died. */
    private readonly isSuspect: boolean,
    private readonly interceptors: Interceptors,
  ) {}

  /** Tells the handler to stop. The attempt ends at once, whatever the handler does. */
  abort(reason: Error): void {
    if (this.stopped) return;
    this.stopped = reason;
    this.controller?.abort(reason);
    this.stop?.(reason);
  }

  private get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.stopped) this.controller.abort(this.stopped);
    }
    return this.controller.signal;
  }

  async run(contexts: Reading): Promise<Outcome> {
    const { attempt, event } = this.delivery;
    if (attempt > this.maxAttempts) {
      if (this.isSuspect)
        return {
          state: 'discarded',
          error: `its process died, or was too slow to renew its lease, at each of ${this.maxAttempts} attempts`,
        };
      const error = `it has had ${attempt - 1} attempts, and maxAttempts is ${this.maxAttempts} now`;
      return { state: 'discarded', error, keepsError: true };
    }
    try {
      const { revalidate = false } = this.handler.options;
      if (revalidate || event.until !== null) {
        const unwanted = await this.inTime(() => this.wanted.reasonAgainst(this.delivery, revalidate));
        if (unwanted !== undefined) return { state: 'skipped', error: unwanted };
      }
      const { context, missing } = await contexts.of(this.delivery);
      const [gone] = this.handler.options.missing === 'deliver' ? [] : missing;
      if (gone) return { state: 'discarded', error: `${gone.entity} ${gone.id} in its context is gone` };
      await inChainOf(event.depth, () => this.handle(handed(event, context)));
      return { state: 'completed', persisted: this.handler.options.transactional ?? false };
    } catch (error) {
      return this.failed(error);
    }
  }

  private handle(event: SparkEvent): Promise<void> {
    const { aroundHandler } = this.interceptors;
    return aroundHandler ? this.handleWithin(aroundHandler, event) : this.handleItself(event);
  }

  /** Interceptors go round the transaction, too. They are waited for as the handler is. */
  private async handleWithin(around: Around<InterceptedDelivery>, event: SparkEvent): Promise<void> {
    const { id, attempt } = this.delivery;
    const { name } = this.handler;
    const delivery = { id, handler: name, attempt, event };
    const work = () => around(delivery, () => this.handleInside(event));
    try {
      await this.inTime(() => waitedFor(`an interceptor of ${name}`, this.transactions.manager.dataSource, work));
    } catch (error) {
      if (!this.isCommitted) throw error;
      this.interceptors.report(`aroundHandler of ${name}`, `${shown(event.key)} is completed`, error);
    }
  }

  /** Once the attempt is told to stop, interceptors have a moment for what they do after the handler. */
  private async handleInside(event: SparkEvent): Promise<void> {
    if (this.stopped) throw this.stopped;
    const stopAround = this.stop!;
    // Until the transaction has ended, the attempt has not.
    this.stop = undefined;
    try {
      await this.handleItself(event);
    } finally {
      this.stop = stopAround;
      if (this.stopped) setTimeout(stopAround, MOMENT, this.stopped).unref();
    }
  }

  private handleItself(event: SparkEvent): Promise<void> {
    return this.handler.options.transactional ? this.handleInTransaction(event) : this.call(event);
  }

  private async handleInTransaction(event: SparkEvent): Promise<void> {
    const revoke = await this.transactions.runOnce((manager) => this.callIn(manager, event));
    this.isCommitted = true;
    revoke();
  }

  /** The fenced completion comes first: it holds rivals off, and commits together with what the handler writes. */
  private async callIn(manager: EntityManager, event: SparkEvent): Promise<() => void> {
    const started = performance.now();
    const done = [{ delivery: this.delivery, durationMs: 0 }];
    const ours = await this.deliveries.complete(manager, done, this.clock.now());
    if (ours.size !== 1) throw new LostLeaseError(event.key, this.handler.name);
    const revoke = revocable(manager, () => new RevokedManagerError(this.handler.name));
    try {
      await withoutDeadline(manager.queryRunner, () => this.call(event, manager));
    } catch (error) {
      revoke();
      throw error;
    }
    const durationMs = Math.round(performance.now() - started);
    if (!(await this.deliveries.confirmCompleted(manager, this.delivery, durationMs)))
      throw new UndoneTransactionError(this.handler.name);
    return revoke;
  }

  private async call(event: SparkEvent, manager?: EntityManager): Promise<void> {
    const { handler, delivery } = this;
    const run = { handler: handler.name, onEnd: (end: () => void) => void this.ends.push(end) };
    const scope = new Scope(handler, delivery, () => this.signal, manager);
    try {
      await this.inTime(() =>
        waitedFor(`the handler ${handler.name}`, this.transactions.manager.dataSource, () =>
          runToEnd(handler.call(event, scope), run),
        ),
      );
    } finally {
      for (const end of this.ends) quietly(end);
    }
  }

  /** Waits for code of the application, until it takes too long or the attempt is told to stop. Then its late end is nobody's business. */
  private inTime<T>(work: () => T): Promise<Awaited<T>> {
    const ended = new Promise<Awaited<T>>((resolve, reject) => {
      if (this.stopped) throw this.stopped;
      this.stop = reject;
      Promise.resolve(work()).then(resolve, reject);
    });
    const { timeout } = this.handler.options;
    return timeout === undefined ? ended : this.within(parseTimeout('timeout', timeout), ended);
  }

  private async within<T>(limit: number, ended: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.abort(new HandlerTimeoutError(this.handler.name, limit)), limit);
    try {
      return await ended;
    } finally {
      clearTimeout(timer);
    }
  }

  private failed(thrown: unknown): Outcome {
    const error = textOf(thrown);
    const now = this.clock.now();
    // Of these classes it never throws, whatever was thrown.
    if (thrown instanceof Undecided)
      return {
        state: 'undecided',
        error: thrown.message,
        lacking: thrown instanceof NotKnownHere ? thrown : undefined,
      };
    if (thrown instanceof WorkerStoppedError) return { state: 'stopped', error };
    if (thrown instanceof DiscardDelivery) return { state: 'discarded', error, thrown };
    if (thrown instanceof RetryLater)
      return { state: 'available', error, thrown, due: now + thrown.milliseconds, charged: false };
    const { attempt } = this.delivery;
    if (attempt >= this.maxAttempts) return { state: 'discarded', error, thrown };
    return { state: 'available', error, thrown, due: now + this.pause(attempt), charged: true };
  }

  // A backoff function that fails must not keep the delivery from being tried again.
  private pause(attempt: number): number {
    const { name, options } = this.handler;
    try {
      return backoffDelay(attempt, options.backoff);
    } catch (error) {
      logger.error(`The backoff of ${shown(name)} failed; the default is used instead. ${linesOf(error)}`);
      return backoffDelay(attempt);
    }
  }
}

/** Makes the attempts of a process. */
export class Attempts {
  constructor(
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly wanted: StillWanted,
    private readonly clock: SparkClock,
    private readonly handlers: HandlerRegistry,
    private readonly maxAttempts: number,
    private readonly interceptors: Interceptors,
  ) {}

  at(delivery: Delivery, suspect: boolean): Attempt {
    const handler = this.handlers.named(delivery.handler)!;
    const maxAttempts = handler.options.maxAttempts ?? this.maxAttempts;
    const { transactions, deliveries, wanted, clock, interceptors } = this;
    return new Attempt(transactions, deliveries, wanted, clock, handler, delivery, maxAttempts, suspect, interceptors);
  }
}

// How the attempt ended is known by then.
function quietly(end: () => void): void {
  try {
    end();
  } catch (error) {
    logger.debug(`What a handler returned could not be ended: ${lineOf(error)}`);
  }
}

class Scope implements HandlerScope {
  readonly attempt: number;
  readonly deliveryId: string;

  constructor(
    private readonly handler: Handler,
    { attempt, id }: Delivery,
    private readonly signalOf: () => AbortSignal,
    private readonly given: EntityManager | undefined,
  ) {
    this.attempt = attempt;
    this.deliveryId = id;
  }

  get signal(): AbortSignal {
    return this.signalOf();
  }

  get manager(): EntityManager {
    if (!this.given) throw new NotTransactionalError(this.handler.name);
    return this.given;
  }
}

function handed({ key, group, at, until, metadata }: Delivery['event'], context: unknown): SparkEvent {
  const event: { -readonly [K in keyof SparkEvent]: SparkEvent[K] } = { group, key, context };
  if (at !== null) event.at = new Date(at);
  if (until !== null) event.until = new Date(until);
  if (metadata !== null) event.metadata = readMetadata(metadata);
  return event;
}
