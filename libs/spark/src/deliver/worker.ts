import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { Completions } from './completions.js';
import type { Contexts, Reading } from './contexts.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { HandlerSlots } from './handler-slots.js';
import type { ClaimRequest } from '../database/dialect.js';
import type { WorkerLease } from '../store/worker-lease.js';
import type { Transactions } from '../database/transactions.js';
import { WorkerStoppedError } from '../error/worker-stopped.error.js';
import type { HandlerRegistry } from '../handler/handler.registry.js';
import { shown } from '../error/text-of.js';
import { Attempt } from './attempt.js';
import type { Settler } from './settler.js';
import type { StillWanted } from './still-wanted.js';

// How long what was told to stop has to roll back and be given back, in milliseconds. Then others rescue it.
const GRACE = 2_000;

// While there is other work; without it, suspects are asked for at once. In milliseconds.
const SUSPECTS_EVERY = 250;

/** How many deliveries were claimed, and whether there may be more for the handlers that were asked for. */
interface Claim {
  readonly claimed: number;
  readonly isMore: boolean;
}

/** A delivery that a handler of this process is at work on. */
export interface RunningDelivery {
  readonly handler: string;
  /** The event's key. */
  readonly key: string;
  readonly attempt: number;
  /** When the attempt began. */
  readonly since: Date;
}

/** Works after the commit: claim → handle → complete, or fail and wait. */
export class Worker {
  private readonly logger = new Logger('Spark');
  private readonly running = new Set<Attempt>();
  private readonly told = new WeakSet<Attempt>();
  private readonly waiting: (() => void)[] = [];
  private claiming: Promise<unknown> = Promise.resolve();
  private halted = false;
  private suspectsAsked = -Infinity;
  /** Whether the last claim failed: its commit may have arrived nevertheless. */
  private unsure = false;
  /** How many deliveries this process has begun to handle. */
  begun = 0;

  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly lease: WorkerLease,
    private readonly deliveries: Deliveries,
    private readonly completions: Completions,
    private readonly contexts: Contexts,
    private readonly handlers: HandlerRegistry,
    private readonly slots: HandlerSlots,
    private readonly wanted: StillWanted,
    private readonly settler: Settler,
    private readonly clock: SparkClock,
    private readonly maxAttempts: number,
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
      while (this.slots.free <= 0 && !this.halted) await this.slots.freed();
      const { claimed, isMore } = await this.claim();
      total += claimed;
      if (claimed === 0) return total;
      if (rest > 0 && !isMore) await delay(rest);
    }
  }

  /** Handles until nothing is available and nothing is running. */
  async drain(): Promise<void> {
    while ((await this.fill()) > 0 || this.running.size > 0) await this.idle();
  }

  /** What is running in this process, with its start. */
  get runs(): readonly RunningDelivery[] {
    return [...this.running].map(({ handler, delivery: { attempt, event }, since }) => {
      return { handler: handler.name, key: event.key, attempt, since };
    });
  }

  /** Tells, once for each, of handlers that have been at work for longer than a time in ms. */
  tellOfLong(time: number): void {
    for (const attempt of this.running) {
      if (Date.now() - attempt.since.getTime() <= time || this.told.has(attempt)) continue;
      this.told.add(attempt);
      const { handler, delivery, since } = attempt;
      this.logger.warn(
        `${shown(handler.name)} has been at work on ${shown(delivery.event.key)} since ${since.toISOString()}. If it hangs, give it ` +
          `a timeout, and let it watch scope.signal.`,
      );
    }
  }

  /** No further delivery is claimed, until `resume` is called. */
  halt(): void {
    this.halted = true;
    this.slots.wake();
  }

  resume(): void {
    this.halted = false;
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

  /** Claims what there is a place for, and begins to handle it. One claim at a time, so that places are counted right. */
  private claim(): Promise<Claim> {
    const claim = this.claiming.then(async () => {
      const isTime = performance.now() - this.suspectsAsked > SUSPECTS_EVERY;
      const first = await this.claimAs(isTime);
      return first.claimed > 0 || isTime ? first : this.claimAs(true);
    });
    this.claiming = claim.catch(() => undefined);
    return claim;
  }

  private async claimAs(suspects: boolean): Promise<Claim> {
    let claimed = 0;
    let isMore = false;
    if (suspects) this.suspectsAsked = performance.now();
    for (const request of this.halted ? [] : this.slots.requests(suspects)) {
      await this.lease.start();
      if (!this.lease.isHeld) break;
      const deliveries = await this.claimSurely({ ...request, worker: this.lease.id, now: this.clock.now() });
      const isFull = deliveries.length === request.limit;
      if (deliveries.length > 0) void this.begin(deliveries, request.suspect, isFull);
      claimed += deliveries.length;
      isMore ||= isFull;
    }
    return { claimed, isMore };
  }

  private async claimSurely(request: Omit<ClaimRequest, 'passed'>): Promise<Delivery[]> {
    if (this.unsure) await this.giveBackOthers(request.worker);
    // As late as can be: others are given back meanwhile.
    const now = () => ({ ...request, passed: this.settler.passed.ids });
    if (!(await this.deliveries.isWaiting(this.dataSource.manager, now()))) return [];
    this.unsure = true;
    const claimed = await this.transactions.runShort((manager) => this.deliveries.claim(manager, now()));
    this.unsure = false;
    return claimed;
  }

  private async giveBackOthers(worker: string): Promise<void> {
    const running = [...this.running].map(({ delivery }) => delivery);
    await this.transactions.run((manager) => this.deliveries.giveBackOthers(manager, worker, running));
    this.unsure = false;
  }

  private async begin(claimed: readonly Delivery[], suspect: boolean, isMore: boolean): Promise<void> {
    this.begun += claimed.length;
    const attempts = claimed.map((delivery) => this.attemptAt(delivery, suspect));
    for (const attempt of attempts) {
      this.slots.take(attempt.handler.name, suspect);
      this.running.add(attempt);
    }
    const contexts = this.contexts.read(claimed);
    // The next claim goes out before handlers keep the process busy.
    if (isMore) await setImmediate();
    for (const attempt of attempts) void this.deliver(attempt, contexts, suspect);
  }

  private attemptAt(delivery: Delivery, suspect: boolean): Attempt {
    const handler = this.handlers.named(delivery.handler)!;
    const maxAttempts = handler.options.maxAttempts ?? this.maxAttempts;
    const { transactions, deliveries, wanted, clock } = this;
    return new Attempt(transactions, deliveries, wanted, clock, handler, delivery, maxAttempts, suspect);
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
      if (outcome && isOurs !== undefined) this.settler.tell(delivery, outcome, durationMs, isOurs);
      this.running.delete(attempt);
      this.slots.settle(suspect);
      if (suspect) this.onFreed();
      if (this.running.size === 0) for (const resolve of this.waiting.splice(0)) resolve();
    };
    // What ends well is written down many at once.
    if (outcome?.state === 'completed' && !outcome.noted) this.completions.add({ delivery, durationMs }, settled);
    else {
      const isOurs = outcome && (await this.settler.settle(delivery, outcome));
      // What could not be written down is still running as far as its row says: the next claim gives it back.
      if (outcome && isOurs === undefined) this.unsure = true;
      settled(isOurs);
    }
  }
}
