import { randomUUID } from 'node:crypto';
import { Logger } from '@nestjs/common';
import { Subject as Stream } from 'rxjs';
import type { DataSource } from 'typeorm';
import type { SparkClock } from '../clock.js';
import { backoffDelay } from '../delivery/backoff.js';
import type { Contexts, ReadContext } from '../delivery/contexts.js';
import type { Deliveries, Delivery } from '../delivery/deliveries.js';
import { withRunner } from '../dialect/statement.js';
import type { Transactions } from '../dialect/transactions.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Handler, HandlerRegistry } from '../handler/handler.registry.js';

/** How an attempt to deliver ended. */
export interface DeliveryReport {
  readonly deliveryId: string;
  readonly key: string;
  readonly group: string;
  readonly handler: string;
  /** `available` means that it failed and will be tried again. */
  readonly state: 'completed' | 'available' | 'discarded';
  readonly attempt: number;
  /** How long the handler took, in milliseconds. */
  readonly durationMs: number;
  /** Why it failed, or why it was discarded. */
  readonly error?: string;
}

/** Works after the commit: claim → handle → complete, or fail and wait. */
export class Worker {
  private readonly id = randomUUID();
  private readonly logger = new Logger('Spark');
  private readonly stream = new Stream<DeliveryReport>();
  private readonly running = new Set<Promise<void>>();
  private readonly abort = new AbortController();
  private claiming: Promise<unknown> = Promise.resolve();
  private halted = false;
  readonly reports$ = this.stream.asObservable();

  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly contexts: Contexts,
    private readonly handlers: HandlerRegistry,
    private readonly clock: SparkClock,
    private readonly options: { concurrency: number; maxAttempts: number },
  ) {}

  /** Handles until nothing is available that this process has a free place for; what it began goes on. */
  async fill(): Promise<number> {
    let total = 0;
    for (;;) {
      if (this.running.size >= this.options.concurrency) await Promise.race(this.running);
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
      await Promise.all(this.running);
    }
  }

  /** No further delivery is claimed. */
  halt(): void {
    this.halted = true;
  }

  /** Waits for running handlers; those that take longer are told by their signal. Returns how many were left. */
  async stop(timeout: number): Promise<number> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, timeout)));
    await Promise.race([Promise.all(this.running), late]);
    clearTimeout(timer);
    this.abort.abort();
    return this.running.size;
  }

  /** Claims what there is a place for, and begins to handle it. One claim at a time, so that places are counted right. */
  private claim(): Promise<number> {
    const claim = this.claiming.then(async () => {
      const handlers = this.handlers.all().map(({ name }) => name);
      const limit = this.options.concurrency - this.running.size;
      if (this.halted || handlers.length === 0 || limit <= 0) return 0;
      const request = { worker: this.id, handlers, limit, now: this.clock.now() };
      const claimed = await this.transactions.run((manager) => this.deliveries.claim(manager, request));
      if (claimed.length > 0) await this.begin(claimed);
      return claimed.length;
    });
    this.claiming = claim.catch(() => undefined);
    return claim;
  }

  private async begin(claimed: readonly Delivery[]): Promise<void> {
    const contexts = await withRunner(this.dataSource.manager, ({ manager }) =>
      this.contexts.read(manager, claimed),
    ).catch((error: unknown) => () => {
      throw error;
    });
    for (const delivery of claimed) {
      const running = this.deliver(delivery, contexts).finally(() => this.running.delete(running));
      this.running.add(running);
    }
  }

  private async deliver(delivery: Delivery, contexts: (delivery: Delivery) => ReadContext): Promise<void> {
    const started = performance.now();
    const handler = this.handlers.named(delivery.handler)!;
    let failure: unknown;
    let gone: string | undefined;
    try {
      const { context, missing } = contexts(delivery);
      const [first] = handler.options.missing === 'deliver' ? [] : missing;
      if (first) gone = `${first.entity} ${first.id} in its context is gone`;
      else await this.handle(handler, delivery, context);
    } catch (error) {
      failure = error ?? new Error('the handler threw nothing');
    }
    const durationMs = Math.round(performance.now() - started);
    await this.settle(handler, delivery, durationMs, gone, failure).catch((error: unknown) => {
      this.logger.error(`Delivery ${delivery.id} of ${delivery.event.key} could not be settled: ${textOf(error)}`);
    });
  }

  private async handle(handler: Handler, { id, attempt, event }: Delivery, context: unknown): Promise<void> {
    const { key, group, at } = event;
    const handed: SparkEvent = { group, key, context, ...(at === null ? {} : { at: new Date(at) }) };
    await handler.call(handed, { signal: this.abort.signal, attempt, deliveryId: id });
  }

  /** Completes the delivery, or fails it: to be tried again, or discarded in the end. */
  private async settle(
    handler: Handler,
    delivery: Delivery,
    durationMs: number,
    gone: string | undefined,
    failure: unknown,
  ) {
    const now = this.clock.now();
    const { manager } = this.dataSource;
    if (gone !== undefined) {
      await this.deliveries.discard(manager, delivery, now, gone);
      return this.tell(delivery, durationMs, 'discarded', gone);
    }
    if (failure === undefined) {
      await this.deliveries.complete(manager, delivery, now);
      return this.tell(delivery, durationMs, 'completed');
    }
    const error = textOf(failure);
    const last = delivery.attempt >= (handler.options.maxAttempts ?? this.options.maxAttempts);
    if (last) await this.deliveries.discard(manager, delivery, now, error);
    else await this.deliveries.retry(manager, delivery, now + this.pause(handler, delivery), error);
    this.tell(delivery, durationMs, last ? 'discarded' : 'available', error);
  }

  // A backoff function that fails must not keep the delivery from being tried again.
  private pause({ name, options }: Handler, { attempt }: Delivery): number {
    try {
      return backoffDelay(attempt, options.backoff);
    } catch (error) {
      this.logger.error(`The backoff of ${name} failed; the default is used instead. ${textOf(error)}`);
      return backoffDelay(attempt);
    }
  }

  private tell(delivery: Delivery, durationMs: number, state: DeliveryReport['state'], error?: string): void {
    const { id, handler, attempt, event } = delivery;
    if (error !== undefined) {
      const outcome = state === 'discarded' ? 'is discarded' : 'will be tried again';
      this.logger.warn(`${event.key} for ${handler}, attempt ${attempt}, ${outcome}: ${error}`);
    }
    const { key, group } = event;
    this.stream.next({
      deliveryId: id,
      key,
      group,
      handler,
      state,
      attempt,
      durationMs,
      ...(error === undefined ? {} : { error }),
    });
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
