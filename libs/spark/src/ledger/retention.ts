import { setTimeout as delay } from 'node:timers/promises';
import { execute, select } from '../dialect/statement.js';
import type { TableNames } from '../dialect/table-names.js';
import type { Transactions } from '../dialect/transactions.js';

/** How long finished deliveries are kept, in milliseconds; left out: for ever. */
export interface RetentionTimes {
  readonly completed?: number;
  readonly discarded?: number;
}

const ROWS = 1_000;

/**
 * Removes finished deliveries after their time, and the contexts of events that none is left of. Keys stay: nothing
 * happens twice because it was long ago.
 */
export class Retention {
  constructor(
    private readonly transactions: Transactions,
    private readonly tables: TableNames,
    private readonly times: RetentionTimes,
  ) {}

  /** Removes what is over at an instant, in small batches. Returns how many deliveries and contexts went. */
  async prune(now: number): Promise<{ deliveries: number; contexts: number }> {
    let deliveries = 0;
    for (const state of ['completed', 'discarded'] as const) {
      const kept = this.times[state];
      if (kept !== undefined) deliveries += await this.inBatches(() => this.pruneDeliveries(state, now - kept));
    }
    const kept = Math.max(this.times.completed ?? Infinity, this.times.discarded ?? 0);
    const contexts = Number.isFinite(kept) ? await this.inBatches(() => this.pruneContexts(now - kept)) : 0;
    return { deliveries, contexts };
  }

  private async inBatches(prune: () => Promise<number>): Promise<number> {
    let total = 0;
    for (let count = ROWS; count === ROWS; total += count) {
      count = await prune();
      // Leaves room for those who wait for the same rows.
      if (count === ROWS) await delay(20);
    }
    return total;
  }

  private pruneDeliveries(state: string, before: number): Promise<number> {
    const { delivery } = this.tables;
    return this.batch(
      `SELECT id FROM ${delivery} WHERE state = :state AND finished_at < :before ORDER BY id LIMIT ${ROWS}`,
      `DELETE FROM ${delivery} WHERE id IN (:...ids)`,
      { state, before },
    );
  }

  private pruneContexts(before: number): Promise<number> {
    const { event, delivery } = this.tables;
    return this.batch(
      `SELECT id FROM ${event} e WHERE recorded_at < :before AND context IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM ${delivery} d WHERE d.event_id = e.id) ORDER BY id LIMIT ${ROWS}`,
      `UPDATE ${event} SET context = NULL WHERE id IN (:...ids)`,
      { before },
    );
  }

  private batch(find: string, remove: string, parameters: object): Promise<number> {
    return this.transactions.run(async (manager) => {
      const ids = (await select<{ id: string }>(manager, find, parameters)).map(({ id }) => id);
      if (ids.length > 0) await execute(manager, remove, { ids });
      return ids.length;
    });
  }
}
