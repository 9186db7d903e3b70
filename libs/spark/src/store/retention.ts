import { setTimeout as delay } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import { execute, select, withRunner } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';
import type { ConfirmChore } from './chores.js';
import type { FailedAttempts } from './failed-attempts.js';
import { type KeptTimes, type OldRows, oldRows, type Pruned } from './retention-rows.js';
import { KEYS_REMOVED, type SweepRows } from './sweep-rows.js';

/** How a run is watched, and how it ends early. */
export interface PruneRun {
  /** Called at the end of the transaction of each batch. If it throws, the batch is rolled back. */
  readonly confirm?: ConfirmChore;
  /** Called after each batch with how many rows are done so far. */
  readonly onProgress?: (done: number) => void;
  /** Ends the run between two batches: it throws the signal's reason. Batches that are done stay done. */
  readonly signal?: AbortSignal;
}

/** The name of the chore: one process of all removes old rows at a time. */
export const RETENTION = 'retention';

const ROWS = 1_000;
/** Over how many ids of events a statement counts. */
const COUNTED_IDS = 10_000;

/**
 * Removes finished deliveries after their time, and the contexts of events that have no delivery left. Keys stay, unless
 * `retention.keys` removes those of a group, so that an old event does not happen again.
 */
export class Retention {
  /** The id up to which all events were checked, by the name of the rows. Events that are kept are not read again. */
  private readonly done = new Map<string, number>();

  constructor(
    private readonly transactions: Transactions,
    private readonly tables: TableNames,
    private readonly failedAttempts: FailedAttempts,
    private readonly sweeps: SweepRows,
    private readonly times: KeptTimes,
  ) {}

  /** Whether there is anything that is removed at its time. */
  get isSet(): boolean {
    const { completed, discarded, keys } = this.times;
    return completed !== undefined || discarded !== undefined || keys.size > 0;
  }

  /** Removes what has reached its time at the instant `now`, in small batches. */
  async prune(now: number, run: PruneRun = {}): Promise<Pruned> {
    const all = await oldRows(this.tables, this.times, now, this.searched(), 'removed');
    return summed(all, run, (rows, progress) => this.remove(rows, run, progress));
  }

  /** Counts what `prune` would remove at the instant `now`, and removes nothing. It reads a part of the rows at a time. */
  async count(now: number, run: Omit<PruneRun, 'confirm'> = {}): Promise<Pruned> {
    const all = await oldRows(this.tables, this.times, now, this.searched(), 'counted');
    return summed(all, run, (rows, progress) => this.counted(rows, run, progress));
  }

  /** Removes rows batch by batch. Of events that stay this time, rows are not read again until the process restarts. */
  private async remove(rows: OldRows, { confirm, signal }: PruneRun, progress: Progress): Promise<void> {
    const { name, table, event, where, parameters, upTo, remove } = rows;
    const find = `SELECT id, ${event} AS at FROM ${table} WHERE ${event} > :after AND ${event} <= :upTo AND ${where}
      ORDER BY ${event} LIMIT ${ROWS}`;
    for (let after = (event === 'id' && this.done.get(name)) || 0; after < upTo;) {
      signal?.throwIfAborted();
      const found = await this.transactions.run(async (manager) => {
        const batch = await select<{ id: string; at: string }>(manager, find, { ...parameters, after, upTo });
        const ids = batch.map(({ id }) => id);
        if (ids.length > 0) {
          await execute(manager, remove, { ids });
          await this.forget(manager, rows, ids);
          await confirm?.(manager);
        }
        return batch;
      });
      progress(found.length);
      if (found.length < ROWS) break;
      // One event may have more deliveries than fit into a batch.
      after = Number(found.at(-1)!.at) - 1;
      // Lets other transactions get the same rows.
      await delay(20);
    }
    this.done.set(name, upTo);
  }

  /** Removes what belongs to rows that were removed. */
  private async forget(manager: EntityManager, { what }: OldRows, ids: readonly string[]): Promise<void> {
    if (what === 'deliveries') await this.failedAttempts.forget(manager, ids);
    if (what === 'keys') await this.sweeps.needFull(manager, KEYS_REMOVED);
  }

  private counted({ table, event, where, parameters, upTo }: OldRows, { signal }: PruneRun, progress: Progress) {
    const next = `SELECT MIN(${event}) AS next_id FROM ${table} WHERE ${event} > :after AND ${event} <= :upTo`;
    const count = `SELECT COUNT(*) AS n FROM ${table} WHERE ${event} >= :from AND ${event} <= :to AND ${where}`;
    return withRunner(this.transactions.manager, async ({ manager }) => {
      for (let after = 0; after < upTo;) {
        signal?.throwIfAborted();
        // Ids may have large gaps.
        const [first] = await select<{ next_id: string | null }>(manager, next, { after, upTo });
        if (!first || first.next_id === null) return;
        const from = Number(first.next_id);
        const to = Math.min(upTo, from + COUNTED_IDS - 1);
        const [row] = await select<{ n: string }>(manager, count, { ...parameters, from, to });
        progress(Number(row!.n));
        after = to;
      }
    });
  }

  /** A function that searches for the last event before an instant, once for each instant. */
  private searched(): (instant: number) => Promise<number> {
    const known = new Map<number, Promise<number>>();
    return (instant) => {
      const found = known.get(instant) ?? this.lastBefore(instant);
      known.set(instant, found);
      return found;
    };
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

/** Called with how many rows of a batch are done. */
type Progress = (rows: number) => void;

/** Works on all rows, and sums up how many were done. */
async function summed(
  all: readonly OldRows[],
  { onProgress }: PruneRun,
  work: (rows: OldRows, progress: Progress) => Promise<void>,
): Promise<Pruned> {
  const pruned = { deliveries: 0, contexts: 0, keys: 0 };
  let done = 0;
  for (const rows of all)
    await work(rows, (some) => {
      pruned[rows.what] += some;
      onProgress?.((done += some));
    });
  return pruned;
}
