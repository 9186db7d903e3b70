import type { SparkClock } from '../common/clock.js';
import { isBlocking, yieldToEventLoop } from '../common/event-loop.js';
import type { Reading } from './contexts.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { Transactions } from '../database/transactions.js';
import { inChainOf } from '../event/chain.js';
import { readMetadata } from '../event/event-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Handler, HandlerRegistry } from '../handler/handler.registry.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import { HandlerCall } from './handler-call.js';
import { type Outcome, outcomeOf } from './outcome.js';
import type { StillWanted } from './still-wanted.js';
import { typedContext } from './typed-context.js';

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

  /** Whether the delivery has had all its attempts. Then its context is not read, and its handler is not called. */
  get isExhausted(): boolean {
    return this.delivery.attempt > this.maxAttempts;
  }

  /** Aborts `scope.signal` and ends the attempt at once, even if the handler goes on. */
  abort(reason: Error): void {
    this.call.abort(reason);
  }

  async run(contexts: Reading): Promise<Outcome> {
    const { attempt, event, eventId } = this.delivery;
    if (this.isExhausted) {
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
      while (isBlocking()) await yieldToEventLoop();
      const { context, missing } = contexts.of(this.delivery);
      const [gone] = this.handler.options.missing === 'deliver' ? [] : missing;
      if (gone) return { state: 'discarded', error: `${gone.entity} ${gone.id} in its context is gone` };
      const link = { depth: event.depth, cause: eventId };
      await inChainOf(link, () => this.call.handle(handed(event, typedContext(this.handler, event, context))));
      return { state: 'completed', persisted: this.handler.options.transactional ?? false };
    } catch (error) {
      return this.failed(error);
    }
  }

  private failed(thrown: unknown): Outcome {
    const { handler, delivery, maxAttempts, clock } = this;
    return outcomeOf(thrown, { handler, attempt: delivery.attempt, maxAttempts, now: clock.now() });
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
