import type { SparkClock } from '../common/clock.js';
import { isBlocking, yieldToEventLoop } from '../common/event-loop.js';
import type { Reading } from './contexts.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { Transactions } from '../database/transactions.js';
import { readMetadata } from '../event/event-metadata.js';
import type { EntityRef } from '../event/entity-lookup.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Handler, HandlerRegistry } from '../handler/handler.registry.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import type { AttemptCall } from './attempt-call.js';
import { BatchCall } from './batch-call.js';
import { Gathering } from './gathering.js';
import { HandlerCall } from './handler-call.js';
import { type Outcome, outcomeOf } from './outcome.js';
import type { StillWanted } from './still-wanted.js';
import { typedContext } from './typed-context.js';

const COMPLETED: Outcome = { state: 'completed', persisted: false };
const PERSISTED: Outcome = { state: 'completed', persisted: true };

/** One attempt of a delivery: it checks whether the event is still wanted, reads the context, calls the handler, and says how that ended. */
export class Attempt {
  private readonly begun = Date.now();

  constructor(
    readonly call: AttemptCall,
    private readonly wanted: StillWanted,
    private readonly clock: SparkClock,
    readonly handler: Handler,
    readonly delivery: Delivery,
    private readonly maxAttempts: number,
    /** Whether the process that claimed the delivery before died. */
    private readonly isSuspect: boolean,
    /** The call that it shares with other attempts. */
    private readonly shared?: BatchCall,
  ) {}

  /** When the attempt began. */
  get since(): Date {
    return new Date(this.begun);
  }

  /** Whether the delivery has had all its attempts. Then its context is not read, and its handler is not called. */
  get isExhausted(): boolean {
    return this.delivery.attempt > this.maxAttempts;
  }

  /** Aborts `scope.signal` and ends the attempt at once, even if the handler goes on. */
  abort(reason: Error): void {
    this.call.abort(reason);
  }

  /** Never rejects. */
  run(contexts: Reading): Promise<Outcome> {
    if (this.isExhausted) return Promise.resolve(this.exhausted());
    const { revalidate = false } = this.handler.options;
    const isChecked = revalidate || this.delivery.event.until !== null;
    return isChecked || isBlocking() ? this.callLater(contexts, isChecked, revalidate) : this.callNow(contexts);
  }

  private exhausted(): Outcome {
    const { delivery, maxAttempts, isSuspect } = this;
    if (isSuspect)
      return {
        state: 'discarded',
        error: `its process died, or was too slow to renew its lease, at each of ${maxAttempts} attempts`,
      };
    const error = `it has had ${delivery.attempt - 1} attempts, and maxAttempts is ${maxAttempts} now`;
    return { state: 'discarded', error, keepsError: true };
  }

  private async callLater(contexts: Reading, isChecked: boolean, revalidate: boolean): Promise<Outcome> {
    try {
      const check = () => this.wanted.reasonAgainst(this.delivery, revalidate);
      const unwanted = isChecked ? await this.call.inTime(check) : undefined;
      if (unwanted !== undefined) return { state: 'skipped', error: unwanted };
    } catch (error) {
      return this.failed(error);
    }
    while (isBlocking()) await yieldToEventLoop();
    return this.callNow(contexts);
  }

  private callNow(contexts: Reading): Promise<Outcome> {
    try {
      const { context, missing } = contexts.of(this.delivery);
      const { event } = this.delivery;
      const [gone] = this.handler.options.missing === 'deliver' ? [] : missing;
      if (gone) return Promise.resolve(goneFrom(gone));
      return this.call.handle(handed(this.delivery, typedContext(this.handler, event, context))).then(
        (outcome) => outcome ?? (this.handler.options.transactional ? PERSISTED : COMPLETED),
        (error) => this.failed(error),
      );
    } catch (error) {
      return Promise.resolve(this.failed(error));
    }
  }

  private failed(thrown: unknown): Outcome {
    const { handler, delivery, maxAttempts, clock, shared } = this;
    const { now, dues } = shared ?? { now: clock.now(), dues: undefined };
    const outcome = outcomeOf(thrown, { handler, attempt: delivery.attempt, maxAttempts, now, dues });
    return outcome.state === 'available' && shared?.isRepeated(thrown) ? { ...outcome, isRepeated: true } : outcome;
  }
}

const goneFrom = ({ entity, id }: EntityRef): Outcome => {
  return { state: 'discarded', error: `${entity} ${id} in its context is gone` };
};

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

  /** The attempts of deliveries that were claimed together. Those of a handler of many events share a call. */
  of(claimed: readonly Delivery[], suspect: boolean): Attempt[] {
    const calls = new Map<Handler, BatchCall>();
    return claimed.map((delivery) => {
      const handler = this.handlers.named(delivery.handler)!;
      const { batch } = handler;
      if (!batch) return this.at(handler, delivery, suspect, this.callOf(handler, [delivery]));
      if (batch.digest && !delivery.digest && !suspect) {
        const checks = this.callOf(handler, [delivery]);
        return this.at(handler, delivery, suspect, new Gathering(this.clock, handler, delivery, checks));
      }
      const shared =
        calls.get(handler) ?? new BatchCall(handler, this.clock, (deliveries) => this.callOf(handler, deliveries));
      calls.set(handler, shared);
      return this.at(handler, delivery, suspect, shared.add(delivery), shared);
    });
  }

  private at(handler: Handler, delivery: Delivery, suspect: boolean, call: AttemptCall, shared?: BatchCall): Attempt {
    const maxAttempts = handler.options.maxAttempts ?? this.maxAttempts;
    return new Attempt(call, this.wanted, this.clock, handler, delivery, maxAttempts, suspect, shared);
  }

  private callOf(handler: Handler, deliveries: readonly Delivery[]): HandlerCall {
    const { transactions, deliveries: store, clock, interceptors } = this;
    return new HandlerCall(transactions, store, clock, handler, deliveries, interceptors);
  }
}

function handed({ event: entry, eventId: id, recorded }: Delivery, context: unknown): SparkEvent {
  const { key, group, at, until, metadata, entity, entityId } = entry;
  const event: { -readonly [K in keyof SparkEvent]: SparkEvent[K] } = { group, key, context, id };
  event.recorded = new Date(recorded);
  if (entity !== null && entityId !== null) event.subject = { entity, id: entityId };
  if (at !== null) event.at = new Date(at);
  if (until !== null) event.until = new Date(until);
  if (metadata !== null) event.metadata = readMetadata(metadata);
  return event;
}
