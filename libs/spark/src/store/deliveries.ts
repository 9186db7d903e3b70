import type { EntityManager, ObjectLiteral } from 'typeorm';
import type { ClaimRequest, Dialect } from '../database/dialect.js';
import { SET, UNCHARGED } from '../database/delivery-columns.js';
import { type Entry, entryFrom } from '../database/event-columns.js';
import type { FoundQueue, OpenQueue } from '../database/claim-queues.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';

/** A delivery that this process has claimed: one event for one handler. */
export interface Delivery {
  readonly id: string;
  readonly handler: string;
  /** The value of the field by which the handler's deliveries are partitioned; '' for those that are not. */
  readonly partition: string;
  readonly attempt: number;
  /** Since when it was due, in epoch ms. */
  readonly due: number;
  readonly worker: string;
  /** The number of its event. */
  readonly eventId: string;
  readonly event: Entry;
  /** Until when its handler may be called, by `performance.now()`. Default: no limit of time. */
  readonly startBy?: number;
}

/** A delivery whose handler has ended well. */
export interface Done {
  readonly delivery: Delivery;
  readonly durationMs: number;
}

/** The statements that claim and settle deliveries. They change no delivery that is not ours any more (see `ours`). */
export class Deliveries {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    /** Whether completed deliveries are kept. */
    private readonly history: boolean,
  ) {}

  /** The queues of these handlers that have available deliveries, due or not. */
  queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]> {
    return this.dialect.queuesOf(manager, handlers);
  }

  /** Those queues of a claim that may have something to claim. It is asked before the transaction of the claim. */
  waiting<Q extends OpenQueue>(manager: EntityManager, request: ClaimRequest<Q>): Promise<readonly Q[]> {
    return this.dialect.waiting(manager, request);
  }

  /** Claims available deliveries, with their events. */
  async claim(manager: EntityManager, request: ClaimRequest): Promise<{ deliveries: Delivery[]; isMore: boolean }> {
    const { rows, isMore } = await this.dialect.claim(manager, request);
    const deliveries = rows.map((row) => {
      const [id, attempt, due] = [String(row.id), Number(row.attempt), Number(row.due_at)];
      const { handler, partition_key: partition } = row;
      return {
        id,
        handler,
        partition,
        attempt,
        due,
        worker: request.worker,
        eventId: String(row.event_id),
        event: entryFrom(row),
      };
    });
    return { deliveries, isMore };
  }

  /**
   * Completes deliveries of one worker at one attempt, or removes them if no history is kept. Returns the ids of those that were
   * still ours.
   */
  complete(manager: EntityManager, done: readonly Done[], now: number): Promise<Set<string>> {
    const { history } = this;
    const { worker, attempt } = done[0]!.delivery;
    const rows = done.map(({ delivery: { id }, durationMs }) => ({ id, durationMs }));
    return this.dialect.complete(manager, { worker, attempt, done: rows, now, history });
  }

  /**
   * Stores how long a delivery took that this transaction has completed. Returns whether it is still completed: the handler may have
   * ended the transaction and swallowed the error.
   */
  async confirmCompleted(manager: EntityManager, { id }: Delivery, durationMs: number): Promise<boolean> {
    const { delivery } = this.tables;
    if (!this.history) return (await select(manager, `SELECT id FROM ${delivery} WHERE id = :id`, { id })).length === 0;
    const update = `UPDATE ${delivery} SET duration_ms = :ms WHERE id = :id AND state = 'completed'`;
    return (await execute(manager, update, { id, ms: durationMs })).affected === 1;
  }

  /** Makes a delivery available again from `due` on. Without a `fingerprint` the attempt has not failed, and does not count. */
  async retry(
    manager: EntityManager,
    delivery: Delivery,
    due: number,
    error: string,
    fingerprint: string | undefined,
  ): Promise<boolean> {
    const changes = fingerprint === undefined ? `${SET.retried}, ${UNCHARGED}` : SET.retried;
    return this.end(manager, delivery, changes, { due: Math.ceil(due), error, fingerprint: fingerprint ?? null });
  }

  /** Skips a delivery whose event does not hold any more. Its handler was not called. */
  async skip(manager: EntityManager, delivery: Delivery, now: number, reason: string): Promise<boolean> {
    return this.end(manager, delivery, SET.skipped, { now, reason });
  }

  /** Discards a delivery. Without a `fingerprint` the error of its last attempt stays, if there was one. */
  async discard(
    manager: EntityManager,
    delivery: Delivery,
    now: number,
    error: string,
    fingerprint: string | undefined,
  ): Promise<boolean> {
    const changes = fingerprint === undefined ? SET.discarded : SET.failed;
    return this.end(manager, delivery, changes, { now, error, fingerprint });
  }

  /** Gives back a delivery that was claimed and not finished. It is available at once, or from `due` on. The attempt does not count. */
  async giveBack(manager: EntityManager, delivery: Delivery, due?: number): Promise<boolean> {
    if (due === undefined) return this.end(manager, delivery, SET.givenBack, {});
    return this.end(manager, delivery, `${SET.givenBack}, due_at = :due`, { due: Math.ceil(due) });
  }

  /** Gives back all deliveries of a worker except `kept`: a claim that threw may have committed on the server. */
  async giveBackOthers(manager: EntityManager, worker: string, kept: readonly Delivery[]): Promise<void> {
    const others = kept.length === 0 ? '' : ' AND id NOT IN (:...ids)';
    await execute(
      manager,
      `UPDATE ${this.tables.delivery} SET ${SET.givenBack} WHERE state = 'running' AND claimed_by = :worker${others}`,
      { worker, ids: kept.map(({ id }) => id) },
    );
  }

  private async end(manager: EntityManager, delivery: Delivery, changes: string, extra: object): Promise<boolean> {
    const { sql, parameters } = this.ours(delivery);
    const update = `UPDATE ${this.tables.delivery} SET ${changes} WHERE ${sql}`;
    const { affected } = await execute(manager, update, { ...parameters, ...extra });
    return affected === 1;
  }

  /** The fence. A delivery is ours as long as it is running under the lease and at the attempt with which this process has claimed it. */
  private ours({ id, attempt, worker }: Delivery): { sql: string; parameters: ObjectLiteral } {
    return {
      sql: `id = :id AND attempt = :attempt AND state = 'running' AND claimed_by = :worker`,
      parameters: { id, attempt, worker },
    };
  }
}
