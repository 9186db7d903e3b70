import type { EntityMetadata } from 'typeorm';
import type { Transactions } from '../database/transactions.js';
import { shown } from '../error/text-of.js';
import type { Counters } from '../common/counters.js';
import type { ConfirmChore } from './chores.js';
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

  /** Whether this process may remove such rechecks at the instant `now`: it has not just booted, and has a live source. */
  mayPrune(now: number): boolean {
    this.since ??= now;
    return this.roots().length > 0 && now - this.since >= PATIENCE;
  }

  /** Removes such rechecks at the instant `now`. `confirm` is called at the end of each transaction. */
  async prune(now: number, confirm: ConfirmChore): Promise<void> {
    const roots = this.roots();
    for (let removed = ROWS; removed === ROWS;) {
      const entities = await this.transactions.run(async (manager) => {
        const found = await this.rechecks.removeOthers(manager, roots, now - this.kept, ROWS);
        if (found.length > 0) await confirm(manager);
        return found;
      });
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
      { entity },
    );
  }
}
