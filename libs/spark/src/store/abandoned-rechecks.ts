import type { EntityMetadata } from 'typeorm';
import type { Transactions } from '../database/transactions.js';
import { shown } from '../error/text-of.js';
import type { Counters } from '../common/counters.js';
import type { Rechecks } from './rechecks.js';

const ROWS = 1_000;
const DAY = 24 * 60 * 60_000;
// How long this process waits after its boot. A process that has the entity and booted at the same time has begun to claim its rechecks by
// then.
const PATIENCE = 60 * 60_000;

/**
 * Removes rechecks of entities of which no process has a live source any more. This process has none, and another process that had
 * one would have claimed the recheck long ago.
 */
export class AbandonedRechecks {
  private since: number | undefined;

  constructor(
    private readonly transactions: Transactions,
    private readonly rechecks: Rechecks,
    private readonly roots: () => readonly EntityMetadata[],
    private readonly counters: Counters,
    /** For how long they are kept after they were due, in milliseconds. */
    private readonly kept: number,
  ) {}

  /** Removes such rechecks at the instant `now`, unless this process has just booted, or has no live source at all. */
  async prune(now: number): Promise<void> {
    this.since ??= now;
    const roots = this.roots();
    if (roots.length === 0 || now - this.since < PATIENCE) return;
    for (let removed = ROWS; removed === ROWS;) {
      const entities = await this.transactions.run((manager) =>
        this.rechecks.removeOthers(manager, roots, now - this.kept, ROWS),
      );
      for (const entity of entities) this.report(entity);
      removed = entities.length;
    }
  }

  private report(entity: string): void {
    this.counters.reportOnce(
      'abandonedRechecks',
      entity,
      () =>
        `Rechecks of entities of ${shown(entity)} were due for ${Math.round(this.kept / DAY)} days and are removed: no process has a live ` +
        `source of them. If you add one again, its first sweep finds the events that are missing.`,
    );
  }
}
