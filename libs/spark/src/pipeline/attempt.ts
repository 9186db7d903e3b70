import { Logger } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { SparkClock } from '../clock.js';
import { backoffDelay } from '../delivery/backoff.js';
import type { ReadContext } from '../delivery/contexts.js';
import type { Deliveries, Delivery } from '../delivery/deliveries.js';
import { revocable } from '../delivery/revocable.js';
import { DiscardDelivery } from '../error/discard-delivery.error.js';
import { HandlerTimeoutError } from '../error/handler-timeout.error.js';
import { LostLeaseError } from '../error/lost-lease.error.js';
import { NotTransactionalError } from '../error/not-transactional.error.js';
import { RetryLater } from '../error/retry-later.error.js';
import { RevokedManagerError } from '../error/revoked-manager.error.js';
import { inChainOf } from '../event/chain.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { HandlerScope } from '../handler/group-handler.decorator.js';
import type { Handler } from '../handler/handler.registry.js';
import { duration } from '../spark.settings.js';
import { textOf } from '../error/text-of.js';

const logger = new Logger('Spark');

/** How an attempt ended. `noted` tells that the delivery's row says so already. */
export type Outcome =
  | { readonly state: 'completed'; readonly noted: boolean }
  | { readonly state: 'discarded'; readonly error: string }
  | { readonly state: 'available'; readonly error: string; readonly due: number; readonly charged: boolean };

/** Calls a handler with a delivery, in a transaction where it asks for one, until it ends, fails, or is told to stop. */
export class Attempt {
  private readonly controller = new AbortController();

  constructor(
    private readonly dataSource: DataSource,
    private readonly deliveries: Deliveries,
    private readonly clock: SparkClock,
    readonly handler: Handler,
    readonly delivery: Delivery,
    private readonly maxAttempts: number,
  ) {}

  /** Tells the handler to stop. The attempt ends at once, whatever the handler does. */
  abort(reason: Error): void {
    this.controller.abort(reason);
  }

  async run(context: () => ReadContext): Promise<Outcome> {
    const { attempt, event } = this.delivery;
    if (attempt > this.maxAttempts) {
      return { state: 'discarded', error: `its process died at each of ${this.maxAttempts} attempts` };
    }
    try {
      const { context: given, missing } = context();
      const [gone] = this.handler.options.missing === 'deliver' ? [] : missing;
      if (gone) return { state: 'discarded', error: `${gone.entity} ${gone.id} in its context is gone` };
      const { key, group, at } = event;
      const handed = { group, key, context: given, ...(at === null ? {} : { at: new Date(at) }) };
      await inChainOf(event.depth, () => this.handle(handed));
      return { state: 'completed', noted: this.handler.options.transactional ?? false };
    } catch (error) {
      return this.failed(error);
    }
  }

  private async handle(event: SparkEvent): Promise<void> {
    if (!this.handler.options.transactional) return this.call(event);
    const revoke = await this.dataSource.transaction((manager) => this.callIn(manager, event));
    revoke();
  }

  /** The fenced completion comes first: it holds rivals off, and commits together with what the handler writes. */
  private async callIn(manager: EntityManager, event: SparkEvent): Promise<() => void> {
    const started = performance.now();
    const done = [{ delivery: this.delivery, durationMs: 0 }];
    const ours = await this.deliveries.complete(manager, done, this.clock.now());
    if (ours !== 1) throw new LostLeaseError(event.key, this.handler.name);
    const revoke = revocable(manager, () => new RevokedManagerError(this.handler.name));
    try {
      await this.call(event, manager);
    } catch (error) {
      revoke();
      throw error;
    }
    await this.deliveries.took(manager, this.delivery, Math.round(performance.now() - started));
    return revoke;
  }

  private async call(event: SparkEvent, manager?: EntityManager): Promise<void> {
    const { signal } = this.controller;
    const { id: deliveryId, attempt } = this.delivery;
    const { timeout } = this.handler.options;
    const limit = timeout === undefined ? undefined : duration('timeout', timeout);
    const timer = limit && setTimeout(() => this.abort(new HandlerTimeoutError(this.handler.name, limit)), limit);
    const stopped = new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason as Error);
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    const scope = scopeOf({ signal, attempt, deliveryId }, manager, this.handler.name);
    const handled = (async () => this.handler.call(event, scope))();
    try {
      await Promise.race([handled, stopped]);
    } finally {
      clearTimeout(timer);
      // Late ends of either are nobody's business any more.
      handled.catch(() => undefined);
      stopped.catch(() => undefined);
    }
  }

  private failed(thrown: unknown): Outcome {
    const error = textOf(thrown);
    const now = this.clock.now();
    if (thrown instanceof DiscardDelivery) return { state: 'discarded', error };
    if (thrown instanceof RetryLater) {
      return { state: 'available', error, due: now + duration('RetryLater', thrown.delay), charged: false };
    }
    const { attempt } = this.delivery;
    if (attempt >= this.maxAttempts) return { state: 'discarded', error };
    return { state: 'available', error, due: now + this.pause(attempt), charged: true };
  }

  // A backoff function that fails must not keep the delivery from being tried again.
  private pause(attempt: number): number {
    const { name, options } = this.handler;
    try {
      return backoffDelay(attempt, options.backoff);
    } catch (error) {
      logger.error(`The backoff of ${name} failed; the default is used instead. ${textOf(error)}`);
      return backoffDelay(attempt);
    }
  }
}

function scopeOf(
  scope: Omit<HandlerScope, 'manager'>,
  manager: EntityManager | undefined,
  handler: string,
): HandlerScope {
  return {
    ...scope,
    get manager() {
      if (!manager) throw new NotTransactionalError(handler);
      return manager;
    },
  };
}
