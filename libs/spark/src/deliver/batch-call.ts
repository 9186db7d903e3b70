import type { SparkClock } from '../common/clock.js';
import { ForeignEventError } from '../error/foreign-event.error.js';
import type { SparkEvent } from '../event/spark-event.js';
import { BatchError } from '../handler/batch.error.js';
import type { Handler } from '../handler/handler.registry.js';
import type { Delivery } from '../store/deliveries.js';
import type { AttemptCall } from './attempt-call.js';
import type { HandlerCall } from './handler-call.js';
import { NotNow } from './not-now.js';

/** An event whose attempt waits for the call. */
interface Joined {
  readonly place: number;
  readonly delivery: Delivery;
  readonly event: SparkEvent;
  readonly complete: () => void;
  readonly fail: (error: unknown) => void;
}

/** Makes the call of a handler with the events of some deliveries. */
type CallOf = (deliveries: readonly Delivery[]) => HandlerCall;

/**
 * A call of a handler with many events. Each event has an attempt of its own, which checks the event and reads its context. Then it joins
 * the call, or ends without it. The call begins when all attempts have done so, and tells each how it has ended for its event.
 */
export class BatchCall {
  private joined: Joined[] = [];
  /** How many attempts have not joined yet, and may. */
  private expected = 0;
  private running = 0;
  private unsettled = 0;
  private current: HandlerCall | undefined;
  private stopped: Error | undefined;
  /** When the call has failed, so that all of its events are due for their next attempt at the same time. */
  private failedAt: number | undefined;
  /** When each attempt number is due again after the call has failed. */
  readonly dues = new Map<number, number>();
  private readonly seen = new Set<unknown>();

  constructor(
    private readonly handler: Handler,
    private readonly clock: SparkClock,
    readonly callOf: CallOf,
  ) {}

  get now(): number {
    return this.failedAt ?? this.clock.now();
  }

  /** Whether an event of the call has failed with this error before. */
  isRepeated(error: unknown): boolean {
    const isSeen = this.seen.has(error);
    this.seen.add(error);
    return isSeen;
  }

  /** Adds the attempt of a delivery. All are added before the first one begins. */
  add(delivery: Delivery): BatchMember {
    this.expected++;
    this.unsettled++;
    return new BatchMember(this, this.running++, delivery);
  }

  /** Joins the call with an event. */
  join(place: number, delivery: Delivery, event: SparkEvent): Promise<void> {
    return new Promise((complete, fail) => {
      this.joined.push({ place, delivery, event, complete, fail });
      this.arrive();
    });
  }

  /** Counts an attempt that will not join, or has joined. */
  arrive(): void {
    if (--this.expected === 0 && this.joined.length > 0) void this.begin();
  }

  /** Counts an attempt that has ended. Returns whether it was the last one. */
  leave(): boolean {
    return --this.running === 0;
  }

  /** Counts an attempt that is settled. Returns whether it was the last one. */
  settle(): boolean {
    return --this.unsettled === 0;
  }

  /** Aborts the call. An abort of one of its attempts is an abort of all. */
  abort(reason: Error): void {
    this.stopped ??= reason;
    this.current?.abort(reason);
    if (!this.current) for (const { fail } of this.joined.splice(0)) fail(reason);
  }

  private async begin(): Promise<void> {
    const joined = this.joined.splice(0).sort((a, b) => a.place - b.place);
    try {
      this.refuseQuiet(joined[0]!);
      await this.run(joined);
    } catch (error) {
      this.failedAt ??= this.clock.now();
      for (const { fail } of joined) fail(error);
    }
  }

  /** Calls the handler with some events. After a BatchError, a transactional handler is called again with those that have not failed. */
  private async run(joined: readonly Joined[]): Promise<void> {
    this.current = this.callOf(joined.map(({ delivery }) => delivery));
    if (this.stopped) this.current.abort(this.stopped);
    let left = joined;
    try {
      await this.current.handle(...joined.map(({ event }) => event));
    } catch (thrown) {
      if (!(thrown instanceof BatchError)) throw thrown;
      left = this.failSome(joined, thrown);
      // Its transaction was rolled back, with what the handler wrote for the others.
      if (this.handler.options.transactional && left.length > 0) return this.run(left);
    }
    for (const { complete } of left) complete();
  }

  /** Fails the events that an error names. Returns the others. */
  private failSome(joined: readonly Joined[], thrown: BatchError): Joined[] {
    const { failed } = thrown;
    const keys = new Set(joined.map(({ event: { key } }) => key));
    const foreign = [...failed.keys()].find((key) => !keys.has(key));
    if (foreign !== undefined) throw new ForeignEventError(this.handler.name, foreign, thrown);
    this.failedAt ??= this.clock.now();
    for (const { event, fail } of joined) if (failed.has(event.key)) fail(failed.get(event.key));
    return joined.filter(({ event }) => !failed.has(event.key));
  }

  /** Throws NotNow if a digest is called in the quiet hours of its first event. */
  private refuseQuiet({ event, delivery }: Joined): void {
    const until = delivery.digest && this.handler.batch?.digest?.quietUntil(event, this.clock.now());
    if (until !== undefined) throw new NotNow(this.handler.name, until);
  }
}

/** The part of one attempt in a call with many events. */
export class BatchMember implements AttemptCall {
  private hasArrived = false;
  private checks: HandlerCall | undefined;

  constructor(
    readonly shared: BatchCall,
    private readonly place: number,
    private readonly delivery: Delivery,
  ) {}

  /** Whether it takes the slot of the call. */
  get takesSlot(): boolean {
    return this.place === 0;
  }

  abort(reason: Error): void {
    this.checks?.abort(reason);
    this.shared.abort(reason);
  }

  inTime<T>(work: () => T): Promise<Awaited<T>> {
    this.checks = this.shared.callOf([this.delivery]);
    return this.checks.inTime(work);
  }

  handle(event: SparkEvent): Promise<void> {
    this.hasArrived = true;
    return this.shared.join(this.place, this.delivery, event);
  }

  /** Counts the attempt as ended. Returns whether it was the last one of the call. */
  leave(): boolean {
    if (!this.hasArrived) this.shared.arrive();
    this.hasArrived = true;
    return this.shared.leave();
  }

  settle(): boolean {
    return this.shared.settle();
  }
}
