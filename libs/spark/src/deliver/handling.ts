import { setImmediate } from 'node:timers/promises';
import { isBlocking, yieldToEventLoop } from '../common/event-loop.js';
import { SparkLog } from '../common/spark-log.js';
import { shown } from '../error/text-of.js';
import { WorkerStoppedError } from '../error/worker-stopped.error.js';
import type { Delivery, Done } from '../store/deliveries.js';
import type { WorkerLease } from '../store/worker-lease.js';
import type { Attempt, Attempts } from './attempt.js';
import type { Claimant, Claimer } from './claimer.js';
import type { Completions } from './completions.js';
import type { Contexts, Reading } from './contexts.js';
import { deliveryFields } from './delivery-fields.js';
import type { HandlerSlots } from './handler-slots.js';
import type { Outcome } from './outcome.js';
import type { Settler } from './settler.js';

// How long aborted attempts have to roll back and give their deliveries back, in milliseconds. Later, other processes free them.
const GRACE = 2_000;

/** The outcome of a delivery that was claimed under a lease that this process does not hold any more. */
const LATE: Outcome = { state: 'late', error: 'the lease ended before the handler was called' };

/** A delivery that a handler of this process is handling. */
export interface RunningDelivery {
  readonly handler: string;
  /** The event's key. */
  readonly key: string;
  readonly attempt: number;
  /** When the attempt began. */
  readonly since: Date;
}

/** An attempt that has ended. Its outcome is undefined if its delivery is left to other processes. */
export interface Ended extends Done {
  readonly attempt: Attempt;
  readonly outcome: Outcome | undefined;
  readonly isSuspect: boolean;
}

/** Handles claimed deliveries: it runs an attempt of each, and completes it or schedules a retry. */
export class Handling implements Claimant {
  private readonly logger = new SparkLog();
  private readonly attemptsNow = new Set<Attempt>();
  private readonly warned = new WeakSet<Attempt>();
  private readonly waiting: (() => void)[] = [];
  /** How many deliveries this process has begun to handle. */
  begun = 0;

  constructor(
    private readonly claimer: Claimer,
    private readonly lease: WorkerLease,
    private readonly completions: Completions,
    private readonly contexts: Contexts,
    private readonly slots: HandlerSlots,
    private readonly attempts: Attempts,
    private readonly settler: Settler,
    /** Called when a slot is free for deliveries that could not be claimed before. */
    private readonly onFreed: () => void,
    /** Called with the names of handlers for which a claim has taken as many deliveries as there are slots: more may be waiting. */
    private readonly onFull: (handlers: readonly string[]) => void,
    /** Called when the end of an attempt is written down, with whether its delivery was still ours; undefined if it could not be. */
    private readonly onSettled: (ended: Ended, isOurs: boolean | undefined) => void,
  ) {}

  /** The deliveries that this process is handling, as they were claimed. */
  running(): readonly Delivery[] {
    return [...this.attemptsNow].map(({ delivery }) => delivery);
  }

  /** The deliveries that this process is handling. */
  get runs(): readonly RunningDelivery[] {
    return [...this.attemptsNow].map(({ handler, delivery: { attempt, event }, since }) => {
      return { handler: handler.name, key: event.key, attempt, since };
    });
  }

  /** Logs each attempt once that has been running for longer than `time` milliseconds: one of those that share a call. */
  warnOfLong(time: number): void {
    for (const attempt of this.attemptsNow) {
      if (Date.now() - attempt.since.getTime() <= time || this.warned.has(attempt) || !attempt.call.takesSlot) continue;
      this.warned.add(attempt);
      const { handler, delivery, since } = attempt;
      this.logger.warn(
        `${shown(handler.name)} has been handling ${shown(delivery.event.key)} since ${since.toISOString()}. If it hangs, give it ` +
          `a timeout, and let it watch scope.signal.`,
        { ...deliveryFields(delivery), handler: handler.name, since: since.toISOString() },
      );
    }
  }

  /** Aborts all attempts, because this process has lost its lease and may not handle their deliveries any more. */
  abandon(): void {
    if (this.attemptsNow.size === 0) return;
    this.logger.warn(`${this.attemptsNow.size} handlers are aborted: this process was too slow to renew its lease.`, {
      attempts: this.attemptsNow.size,
    });
    const reason = new WorkerStoppedError('this process was too slow to renew its lease');
    for (const attempt of this.attemptsNow) attempt.abort(reason);
  }

  /**
   * Waits up to `timeout` milliseconds for running handlers. Then it aborts the rest and gives their deliveries back. Returns how many it
   * aborted.
   */
  async stop(timeout: number): Promise<number> {
    await this.ended(timeout);
    const left = [...this.attemptsNow];
    for (const attempt of left) attempt.abort(new WorkerStoppedError('this process stops'));
    await this.ended(GRACE);
    return left.length;
  }

  /** Waits for running attempts, for up to `timeout` milliseconds. */
  async ended(timeout: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, timeout)));
    await Promise.race([this.idle(), late]);
    clearTimeout(timer);
  }

  /** Whether no attempt is running. */
  get isIdle(): boolean {
    return this.attemptsNow.size === 0;
  }

  /** Resolves when no attempt is running. */
  async idle(): Promise<void> {
    if (this.attemptsNow.size > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Begins to handle claimed deliveries. They take their slots at once. */
  begin(claimed: readonly Delivery[], suspect: boolean, isMore: boolean): void {
    void this.beginAll(claimed, suspect, isMore);
  }

  private async beginAll(claimed: readonly Delivery[], suspect: boolean, isMore: boolean): Promise<void> {
    this.begun += claimed.length;
    const attempts = this.attempts.of(claimed, suspect);
    for (const attempt of attempts) {
      if (attempt.call.takesSlot) this.slots.take(attempt.handler.name, suspect);
      this.attemptsNow.add(attempt);
    }
    const full = this.slots.fullAfter(new Set(attempts.map(({ handler }) => handler)));
    if (full.length > 0) this.onFull(full);
    // The claim may have taken longer than the lease.
    const isLate = claimed.some(({ worker }) => !this.lease.holds(worker));
    const contexts = this.contexts.read(isLate ? [] : attempts.filter(isReadable).map(({ delivery }) => delivery));
    // The next claim is sent before handlers keep the process busy.
    if (isMore) await setImmediate();
    for (const attempt of attempts) {
      while (isBlocking()) await yieldToEventLoop();
      const reading = isReadable(attempt) ? contexts.ended(attempt.delivery) : undefined;
      const deliver = () => this.deliver(attempt, isLate ? undefined : contexts, suspect);
      if (reading) void reading.then(deliver);
      else deliver();
    }
  }

  // There are many deliveries, and an async function costs more than a callback.
  private deliver(attempt: Attempt, contexts: Reading | undefined, isSuspect: boolean): void {
    const started = performance.now();
    const ended = (outcome: Outcome | undefined) => {
      const durationMs = Math.round(performance.now() - started);
      this.end({ attempt, delivery: attempt.delivery, outcome, durationMs, isSuspect });
    };
    void Promise.resolve(contexts ? this.run(attempt, contexts) : LATE).then(ended);
  }

  /** Runs an attempt. If reading took longer than the lease, another process frees the delivery, as a suspect: what it reads may block. */
  private run(attempt: Attempt, contexts: Reading): Promise<Outcome> | undefined {
    return this.lease.holds(attempt.delivery.worker) ? attempt.run(contexts) : undefined;
  }

  private end(ended: Ended): void {
    const { attempt, outcome } = ended;
    // Without this call the freed slot would stay unused until the next poll.
    if (attempt.call.leave() && this.slots.leave(attempt.handler.name)) this.onFreed();
    // Completions share statements.
    if (outcome?.state === 'completed' && !outcome.persisted)
      this.completions.add(ended, (isOurs) => this.settled(ended, isOurs));
    else void this.settle(ended);
  }

  private async settle(ended: Ended): Promise<void> {
    const { delivery, outcome, durationMs } = ended;
    const isOurs = outcome && (await this.settler.settle(delivery, outcome, durationMs));
    // The row of a delivery that could not be settled still says `running`, so the next claim gives it back.
    if (outcome && isOurs === undefined) this.claimer.giveBackAtNextClaim();
    this.settled(ended, isOurs);
  }

  private settled(ended: Ended, isOurs: boolean | undefined): void {
    const { attempt, delivery, outcome, durationMs, isSuspect } = ended;
    const { handler } = attempt;
    if (outcome && isOurs !== undefined) this.settler.report(delivery, outcome, durationMs, isOurs);
    this.attemptsNow.delete(attempt);
    if (attempt.call.settle()) this.slots.settle(isSuspect);
    if (outcome?.state === 'late' && outcome !== LATE) this.claimer.tooLate(handler);
    if (outcome?.state === 'undecided' && outcome.lacking?.kind === 'version') this.claimer.isOutdated(handler);
    if (isSuspect || this.claimer.settled(handler)) this.onFreed();
    this.onSettled(ended, isOurs);
    if (this.attemptsNow.size === 0) for (const resolve of this.waiting.splice(0)) resolve();
  }
}

const isReadable = ({ isExhausted }: Attempt): boolean => !isExhausted;
