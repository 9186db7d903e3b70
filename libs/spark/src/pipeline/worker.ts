import { Logger } from '@nestjs/common';
import { Subject as Stream } from 'rxjs';
import type { DataSource } from 'typeorm';
import type { SparkClock } from '../clock.js';
import type { Completions } from '../delivery/completions.js';
import type { Contexts, ReadContext } from '../delivery/contexts.js';
import type { Deliveries, Delivery } from '../delivery/deliveries.js';
import type { HandlerSlots } from '../delivery/handler-slots.js';
import type { WorkerLease } from '../delivery/worker-lease.js';
import { withRunner } from '../dialect/statement.js';
import type { Transactions } from '../dialect/transactions.js';
import { WorkerStoppedError } from '../error/worker-stopped.error.js';
import type { HandlerRegistry } from '../handler/handler.registry.js';
import { textOf } from '../error/text-of.js';
import { Attempt, type Outcome } from './attempt.js';

/** How an attempt to deliver ended. */
export interface DeliveryReport {
  readonly deliveryId: string;
  readonly key: string;
  readonly group: string;
  readonly handler: string;
  /** `available` means that it failed and will be tried again. */
  readonly state: 'completed' | 'available' | 'discarded';
  readonly attempt: number;
  /** How long the attempt took, in milliseconds. */
  readonly durationMs: number;
  /** Why it failed, or why it was discarded. */
  readonly error?: string;
}

/** Works after the commit: claim → handle → complete, or fail and wait. */
export class Worker {
  private readonly logger = new Logger('Spark');
  private readonly stream = new Stream<DeliveryReport>();
  private readonly running = new Map<Attempt, Promise<void>>();
  private claiming: Promise<unknown> = Promise.resolve();
  private halted = false;
  readonly reports$ = this.stream.asObservable();

  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly lease: WorkerLease,
    private readonly deliveries: Deliveries,
    private readonly completions: Completions,
    private readonly contexts: Contexts,
    private readonly handlers: HandlerRegistry,
    private readonly slots: HandlerSlots,
    private readonly clock: SparkClock,
    private readonly maxAttempts: number,
  ) {}

  /** Handles until nothing is available that this process has a free place for; what it began goes on. */
  async fill(): Promise<number> {
    let total = 0;
    for (;;) {
      if (this.slots.free <= 0) await Promise.race(this.running.values());
      const claimed = await this.claim();
      total += claimed;
      if (claimed === 0) return total;
    }
  }

  /** Handles until nothing is available and nothing is running. */
  async drain(): Promise<number> {
    let total = 0;
    for (;;) {
      const handled = await this.fill();
      total += handled;
      if (handled === 0 && this.running.size === 0) return total;
      await Promise.all(this.running.values());
    }
  }

  /** No further delivery is claimed. */
  halt(): void {
    this.halted = true;
  }

  /** Tells all handlers to stop: their deliveries are no longer this process's. */
  abandon(): void {
    const reason = new WorkerStoppedError('this process was too slow to renew its lease');
    for (const attempt of this.running.keys()) attempt.abort(reason);
  }

  /** Waits for running handlers; those that take longer are told to stop and given back. Returns how many. */
  async stop(timeout: number): Promise<number> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, timeout)));
    await Promise.race([Promise.all(this.running.values()), late]);
    clearTimeout(timer);
    const left = [...this.running.keys()];
    await this.transactions.run((manager) =>
      this.deliveries.giveBack(
        manager,
        left.map(({ delivery }) => delivery),
      ),
    );
    for (const attempt of left) attempt.abort(new WorkerStoppedError('this process stops'));
    return left.length;
  }

  /** Claims what there is a place for, and begins to handle it. One claim at a time, so that places are counted right. */
  private claim(): Promise<number> {
    const claim = this.claiming.then(async () => {
      let total = 0;
      for (const request of this.halted ? [] : this.slots.requests()) {
        await this.lease.start();
        if (!this.lease.isHeld) return total;
        const full = { ...request, worker: this.lease.id, now: this.clock.now() };
        if (!(await this.deliveries.isWaiting(this.dataSource.manager, full))) continue;
        const claimed = await this.transactions.run((manager) => this.deliveries.claim(manager, full));
        if (claimed.length > 0) await this.begin(claimed, request.suspect);
        total += claimed.length;
      }
      return total;
    });
    this.claiming = claim.catch(() => undefined);
    return claim;
  }

  private async begin(claimed: readonly Delivery[], suspect: boolean): Promise<void> {
    const contexts = await withRunner(this.dataSource.manager, ({ manager }) =>
      this.contexts.read(manager, claimed),
    ).catch((error: unknown) => () => {
      throw error;
    });
    for (const delivery of claimed) {
      const handler = this.handlers.named(delivery.handler)!;
      const maxAttempts = handler.options.maxAttempts ?? this.maxAttempts;
      const attempt = new Attempt(this.dataSource, this.deliveries, this.clock, handler, delivery, maxAttempts);
      const release = this.slots.take(handler.name, suspect);
      const ended = this.deliver(attempt, contexts).finally(() => {
        this.running.delete(attempt);
        release();
      });
      this.running.set(attempt, ended);
    }
  }

  private async deliver(attempt: Attempt, contexts: (delivery: Delivery) => ReadContext): Promise<void> {
    const { delivery } = attempt;
    const started = performance.now();
    const outcome = await attempt.run(() => contexts(delivery));
    const durationMs = Math.round(performance.now() - started);
    try {
      const isOurs = await this.settle(delivery, outcome, durationMs);
      if (isOurs) this.tell(delivery, outcome, durationMs);
      else
        this.logger.warn(`${delivery.event.key} for ${delivery.handler} was taken over by another process meanwhile.`);
    } catch (error) {
      this.logger.error(`Delivery ${delivery.id} of ${delivery.event.key} could not be settled: ${textOf(error)}`);
    }
  }

  /** Writes down how the attempt ended. Returns whether the delivery was still ours. */
  private async settle(delivery: Delivery, outcome: Outcome, durationMs: number): Promise<boolean> {
    if (outcome.state === 'completed') return outcome.noted || this.completions.add({ delivery, durationMs });
    const { deliveries, transactions } = this;
    if (outcome.state === 'discarded') {
      const now = this.clock.now();
      return transactions.run((manager) => deliveries.discard(manager, delivery, now, outcome.error));
    }
    const { due, error, charged } = outcome;
    return transactions.run((manager) => deliveries.retry(manager, delivery, due, error, charged));
  }

  private tell({ id, handler, attempt, event: { key, group } }: Delivery, outcome: Outcome, durationMs: number): void {
    const { state } = outcome;
    const report = { deliveryId: id, key, group, handler, state, attempt, durationMs };
    if (state === 'completed') return this.stream.next(report);
    const words = state === 'discarded' ? 'is discarded' : 'will be tried again';
    this.logger.warn(`${key} for ${handler}, attempt ${attempt}, ${words}: ${outcome.error}`);
    this.stream.next({ ...report, error: outcome.error });
  }
}
