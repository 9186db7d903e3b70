import { setTimeout as delay } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import { HAS_CONTENT, NO_CONTENT } from '../database/event-columns.js';
import { execute, select, withRunner } from '../database/statement.js';
import type { RetentionTimes } from '../config/spark.settings.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';
import type { ConfirmChore } from './chores.js';
import type { FailedAttempts } from './failed-attempts.js';
import { KEYS_REMOVED, type SweepRows } from './sweep-rows.js';

/** How much was removed. */
export interface Pruned {
  readonly deliveries: number;
  readonly contexts: number;
  readonly keys: number;
}

interface Batch {
  /** The name under which its progress is stored. */
  readonly name: string;
  readonly find: string;
  readonly remove: string;
  /** Removes the rows that belong to them. */
  readonly forget?: (manager: EntityManager, ids: readonly string[]) => Promise<void>;
  readonly parameters: object;
  readonly confirm: ConfirmChore;
}

const ROWS = 1_000;

/**
 * Removes finished deliveries after their time, and the contexts of events that have no delivery left. Keys stay, unless
 * `retention.keys` removes those of a group, so that an old event does not happen again.
 */
export class Retention {
  /** The id up to which all events were checked, by batch. Events that are kept are not read again. */
  private readonly done = new Map<string, number>();

  constructor(
    private readonly transactions: Transactions,
    private readonly tables: TableNames,
    private readonly failedAttempts: FailedAttempts,
    private readonly sweeps: SweepRows,
    private readonly times: RetentionTimes,
  ) {}

  /** Whether there is anything that is removed at its time. */
  get isSet(): boolean {
    const { completed, discarded, keys } = this.times;
    return completed !== undefined || discarded !== undefined || keys.size > 0;
  }

  /**
   * Removes what has reached its time at the instant `now`, in small batches.
   *
   * @param confirm called at the end of the transaction of each batch; if it throws, the batch is rolled back
   */
  async prune(now: number, confirm: ConfirmChore = async () => undefined): Promise<Pruned> {
    const { completed, discarded, keys } = this.times;
    let deliveries = 0;
    for (const state of ['completed', 'skipped'])
      if (completed !== undefined) deliveries += await this.pruneDeliveries(state, now - completed, confirm);
    if (discarded !== undefined) deliveries += await this.pruneDeliveries('discarded', now - discarded, confirm);
    const kept = Math.max(completed ?? Infinity, discarded ?? 0);
    const contexts = Number.isFinite(kept) ? await this.pruneContexts(now - kept, confirm) : 0;
    let dropped = 0;
    for (const [group, age] of keys) dropped += await this.pruneKeys(group, now - age, confirm);
    return { deliveries, contexts, keys: dropped };
  }

  // A delivery ends after its event was entered, so deliveries of events that were entered later need not be read.
  private pruneDeliveries(state: string, before: number, confirm: ConfirmChore): Promise<number> {
    const { delivery } = this.tables;
    return this.inBatches(before, false, {
      name: state,
      find: `SELECT id, event_id AS at FROM ${delivery} WHERE event_id > :after AND event_id <= :upTo
        AND state = :state AND finished_at < :before ORDER BY event_id LIMIT ${ROWS}`,
      remove: `DELETE FROM ${delivery} WHERE id IN (:...ids)`,
      forget: (manager, ids) => this.failedAttempts.forget(manager, ids),
      parameters: { state, before },
      confirm,
    });
  }

  private pruneContexts(before: number, confirm: ConfirmChore): Promise<number> {
    const { event } = this.tables;
    return this.inBatches(before, true, {
      name: 'contexts',
      find: `SELECT id, id AS at FROM ${event} WHERE id > :after AND id <= :upTo
        AND ${HAS_CONTENT} AND ${this.isUndelivered} ORDER BY id LIMIT ${ROWS}`,
      remove: `UPDATE ${event} SET ${NO_CONTENT} WHERE id IN (:...ids)`,
      parameters: {},
      confirm,
    });
  }

  private pruneKeys(group: string, before: number, confirm: ConfirmChore): Promise<number> {
    const { event } = this.tables;
    return this.inBatches(before, true, {
      name: `keys of ${group}`,
      find: `SELECT id, id AS at FROM ${event} WHERE id > :after AND id <= :upTo
        AND event_group = :group AND ${this.isUndelivered} ORDER BY id LIMIT ${ROWS}`,
      remove: `DELETE FROM ${event} WHERE id IN (:...ids)`,
      forget: (manager) => this.sweeps.needFull(manager, KEYS_REMOVED),
      parameters: { group },
      confirm,
    });
  }

  private get isUndelivered(): string {
    const { event, delivery } = this.tables;
    return `NOT EXISTS (SELECT 1 FROM ${delivery} d WHERE d.event_id = ${event}.id)`;
  }

  /** Removes rows batch by batch. With `once`, rows that stay this time are not read again until the process restarts. */
  private async inBatches(before: number, once: boolean, batch: Batch): Promise<number> {
    const { name, find, remove, forget, parameters, confirm } = batch;
    const upTo = await this.lastBefore(before);
    let total = 0;
    for (let after = (once && this.done.get(name)) || 0; after < upTo;) {
      const found = await this.transactions.run(async (manager) => {
        const rows = await select<{ id: string; at: string }>(manager, find, { ...parameters, after, upTo });
        const ids = rows.map(({ id }) => id);
        if (ids.length > 0) {
          await execute(manager, remove, { ids });
          await forget?.(manager, ids);
          await confirm(manager);
        }
        return rows;
      });
      total += found.length;
      if (found.length < ROWS) break;
      // One event may have more deliveries than fit into a batch.
      after = Number(found.at(-1)!.at) - 1;
      // Lets other transactions get the same rows.
      await delay(20);
    }
    this.done.set(name, upTo);
    return total;
  }

  /** The id of the last event that was entered before an instant. Ids grow with time, so a binary search finds it without an index. */
  private lastBefore(instant: number): Promise<number> {
    return withRunner(this.transactions.manager, async ({ manager }) => {
      let low = 0;
      for (let high = await this.highest(manager); low < high;) {
        const middle = Math.floor((low + high) / 2);
        const next = await this.eventAfter(manager, middle);
        if (next && Number(next.recorded_at) < instant) low = Number(next.id);
        else high = middle;
      }
      return low;
    });
  }

  private async highest(manager: EntityManager): Promise<number> {
    const [row] = await select<{ id: string | null }>(manager, `SELECT MAX(id) AS id FROM ${this.tables.event}`);
    return Number(row?.id ?? 0);
  }

  private async eventAfter(manager: EntityManager, id: number) {
    const next = `SELECT id, recorded_at FROM ${this.tables.event} WHERE id > :id ORDER BY id LIMIT 1`;
    return (await select<{ id: string; recorded_at: string }>(manager, next, { id }))[0];
  }
}
