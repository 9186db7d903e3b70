import { Logger } from '@nestjs/common';
import type { SparkClock } from '../common/clock.js';
import { backoffDelay } from '../config/backoff.js';
import type { Reading } from './contexts.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import { NotKnownHere, Undecided } from './undecided.js';
import type { Transactions } from '../database/transactions.js';
import { DiscardDelivery } from '../error/discard-delivery.error.js';
import { RetryLater } from '../handler/retry-later.error.js';
import { WorkerStoppedError } from '../error/worker-stopped.error.js';
import { inChainOf } from '../event/chain.js';
import { readMetadata } from '../event/event-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Handler, HandlerRegistry } from '../handler/handler.registry.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import { linesOf, shown, textOf } from '../error/text-of.js';
import { HandlerCall } from './handler-call.js';
import type { StillWanted } from './still-wanted.js';

const logger = new Logger('Spark');

/**
 * How an attempt ended.
 *
 * - `error` is the text of what was `thrown`; the delivery's row keeps it.
 * - `persisted`: the delivery's row says already that it is completed.
 * - `stopped`: this process aborted the attempt.
 * - `undecided`: the handler could not be called, because this process lacks `lacking`, or because the database does not answer.
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

/** One attempt of a delivery: it checks whether the event is still wanted, reads the context, calls the handler, and says how that ended. */
export class Attempt {
  readonly since = new Date();

  constructor(
    private readonly call: HandlerCall,
    private readonly wanted: StillWanted,
    private readonly clock: SparkClock,
    readonly handler: Handler,
    readonly delivery: Delivery,
    private readonly maxAttempts: number,
    /** Whether the process that claimed the delivery before died. */
    private readonly isSuspect: boolean,
  ) {}

  /** Aborts `scope.signal` and ends the attempt at once, even if the handler goes on. */
  abort(reason: Error): void {
    this.call.abort(reason);
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
        const unwanted = await this.call.inTime(() => this.wanted.reasonAgainst(this.delivery, revalidate));
        if (unwanted !== undefined) return { state: 'skipped', error: unwanted };
      }
      const { context, missing } = await contexts.of(this.delivery);
      const [gone] = this.handler.options.missing === 'deliver' ? [] : missing;
      if (gone) return { state: 'discarded', error: `${gone.entity} ${gone.id} in its context is gone` };
      await inChainOf(event.depth, () => this.call.handle(handed(event, context)));
      return { state: 'completed', persisted: this.handler.options.transactional ?? false };
    } catch (error) {
      return this.failed(error);
    }
  }

  private failed(thrown: unknown): Outcome {
    const error = textOf(thrown);
    const now = this.clock.now();
    // `instanceof` of these classes never throws, for any thrown value.
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

  // If a backoff function fails, the delivery must be retried all the same.
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

/** Creates the attempts of this process. */
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
    const call = new HandlerCall(transactions, deliveries, clock, handler, delivery, interceptors);
    return new Attempt(call, wanted, clock, handler, delivery, maxAttempts, suspect);
  }
}

function handed({ key, group, at, until, metadata }: Delivery['event'], context: unknown): SparkEvent {
  const event: { -readonly [K in keyof SparkEvent]: SparkEvent[K] } = { group, key, context };
  if (at !== null) event.at = new Date(at);
  if (until !== null) event.until = new Date(until);
  if (metadata !== null) event.metadata = readMetadata(metadata);
  return event;
}
