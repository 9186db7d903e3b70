import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { shown } from '../error/text-of.js';
import { WorkerStoppedError } from '../error/worker-stopped.error.js';
import type { Delivery } from '../store/deliveries.js';
import type { WorkerLease } from '../store/worker-lease.js';
import type { Attempt, Attempts } from './attempt.js';
import type { Claimant, Claimer } from './claimer.js';
import type { Completions } from './completions.js';
import type { Contexts, Reading } from './contexts.js';
import type { HandlerSlots } from './handler-slots.js';
import type { Settler } from './settler.js';

// How long what was told to stop has to roll back and be given back, in milliseconds. Then others rescue it.
const GRACE = 2_000;

/** A delivery that a handler of this process is at work on. */
export interface RunningDelivery {
  readonly handler: string;
  /** The event's key. */
  readonly key: string;
  readonly attempt: number;
  /** When the attempt began. */
  readonly since: Date;
}

/** Works after the commit: claim → attempt → complete, or fail and wait. */
export class Worker {
  private readonly logger = new Logger('Spark');
  private readonly running = new Set<Attempt>();
  private readonly warned = new WeakSet<Attempt>();
  private readonly waiting: (() => void)[] = [];
  private readonly claimant: Claimant = {
    running: () => [...this.running].map(({ delivery }) => delivery),
    begin: (claimed, suspect, isMore) => void this.begin(claimed, suspect, isMore),
  };
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
    /** What could not be claimed before can be now. */
    private readonly onFreed: () => void,
  ) {}

  /**
   * Handles until nothing is available that this process has a free place for; what it began goes on. After a claim that
   * found all there was it rests for some milliseconds: what comes meanwhile shares the next one.
   */
  async fill(rest = 0): Promise<number> {
    let total = 0;
    for (;;) {
      while (this.slots.free <= 0 && !this.claimer.halted) await this.slots.freed();
      const { claimed, isMore } = await this.claimer.claim(this.claimant);
      total += claimed;
      if (claimed === 0) return total;
      if (rest > 0 && !isMore) await delay(rest);
    }
  }

  /** Handles until nothing is available and nothing is running. Throws where this process cannot get its lease back. */
  async drain(): Promise<void> {
    for (;;) {
      const begun = await this.fill();
      if (begun === 0 && this.running.size === 0 && !this.claimer.lacksLease) return;
      if (this.claimer.lacksLease) await this.lease.regained();
      await this.idle();
    }
  }

  /** What is running in this process, with its start. */
  get runs(): readonly RunningDelivery[] {
    return [...this.running].map(({ handler, delivery: { attempt, event }, since }) => {
      return { handler: handler.name, key: event.key, attempt, since };
    });
  }

  /** Tells, once for each, of handlers that have been at work for longer than a time in ms. */
  warnOfLong(time: number): void {
    for (const attempt of this.running) {
      if (Date.now() - attempt.since.getTime() <= time || this.warned.has(attempt)) continue;
      this.warned.add(attempt);
      const { handler, delivery, since } = attempt;
      this.logger.warn(
        `${shown(handler.name)} has been at work on ${shown(delivery.event.key)} since ${since.toISOString()}. If it hangs, give it ` +
          `a timeout, and let it watch scope.signal.`,
      );
    }
  }

  /** No further delivery is claimed, until `resume` is called. */
  halt(): void {
    this.claimer.halted = true;
    this.slots.letWaitersLook();
  }

  resume(): void {
    this.claimer.halted = false;
  }

  /** Tells all handlers to stop: their deliveries are no longer this process's. */
  abandon(): void {
    if (this.running.size === 0) return;
    this.logger.warn(`${this.running.size} handlers are told to stop: this process was too slow to renew its lease.`);
    const reason = new WorkerStoppedError('this process was too slow to renew its lease');
    for (const attempt of this.running) attempt.abort(reason);
  }

  /** Waits for running handlers; those that take longer are told to stop and given back. Returns how many. */
  async stop(timeout: number): Promise<number> {
    await this.ended(timeout);
    const left = [...this.running];
    for (const attempt of left) attempt.abort(new WorkerStoppedError('this process stops'));
    await this.ended(GRACE);
    return left.length;
  }

  /** Waits for what is running, but not for ever. */
  async ended(timeout: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, timeout)));
    await Promise.race([this.idle(), late]);
    clearTimeout(timer);
  }

  /** Resolves when nothing is running. */
  async idle(): Promise<void> {
    if (this.running.size > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private async begin(claimed: readonly Delivery[], suspect: boolean, isMore: boolean): Promise<void> {
    this.begun += claimed.length;
    const attempts = claimed.map((delivery) => this.attempts.at(delivery, suspect));
    for (const attempt of attempts) {
      this.slots.take(attempt.handler.name, suspect);
      this.running.add(attempt);
    }
    const contexts = this.contexts.read(claimed);
    // The next claim goes out before handlers keep the process busy.
    if (isMore) await setImmediate();
    for (const attempt of attempts) void this.deliver(attempt, contexts, suspect);
  }

  private async deliver(attempt: Attempt, contexts: Reading, suspect: boolean): Promise<void> {
    const { delivery } = attempt;
    await contexts.ended(delivery);
    const started = performance.now();
    // Where reading took too long, it is somebody else's by now, or will be.
    const outcome = this.lease.holds(delivery.worker) ? await attempt.run(contexts) : undefined;
    const durationMs = Math.round(performance.now() - started);
    // Nothing else would say so before the next poll.
    if (this.slots.leave(attempt.handler.name)) this.onFreed();
    const settled = (isOurs?: boolean) => {
      if (outcome && isOurs !== undefined) this.settler.report(delivery, outcome, durationMs, isOurs);
      this.running.delete(attempt);
      this.slots.settle(suspect);
      if (suspect) this.onFreed();
      if (this.running.size === 0) for (const resolve of this.waiting.splice(0)) resolve();
    };
    // What ends well is written down many at once.
    if (outcome?.state === 'completed' && !outcome.persisted) this.completions.add({ delivery, durationMs }, settled);
    else {
      const isOurs = outcome && (await this.settler.settle(delivery, outcome, durationMs));
      // What could not be written down is still running as far as its row says: the next claim gives it back.
      if (outcome && isOurs === undefined) this.claimer.doubt();
      settled(isOurs);
    }
  }
}
