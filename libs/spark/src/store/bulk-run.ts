import { setTimeout as delay } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import { select, withRunner } from '../database/statement.js';
import type { Transactions } from '../database/transactions.js';
import type { Conditions } from './record-filter.js';

/** How a call goes about many rows. */
export interface BulkOptions {
  /** Counts what would be done, and changes nothing. Default: false. */
  readonly dryRun?: boolean;
  /** How many rows share a transaction, 1 to 10,000. Default: 1,000. */
  readonly chunk?: number;
  /** Is called after each chunk with how many rows are done so far. What it throws ends the call. */
  readonly onProgress?: (done: number) => void;
  /** Ends the call between two chunks: it throws the signal's reason. What is done stays done. */
  readonly signal?: AbortSignal;
}

/** How deliveries are delivered once more. */
export interface RedeliveryOptions extends BulkOptions {
  /** Their priority, as that of a handler: the lower, the sooner, -1,000 to 1,000. Default: one behind what they had. */
  readonly priority?: number;
}

/** Rows that a call is about. */
export interface BulkRows {
  readonly from: string;
  /** The column of their ids, which chunks go by. */
  readonly id: string;
  readonly where: Conditions;
}

/** What is done with the rows of a chunk. Both return how many count. */
export interface BulkWork {
  readonly change: (manager: EntityManager, ids: string[]) => Promise<number>;
  /** What `change` would do. Default: all rows count. */
  readonly count?: (manager: EntityManager, ids: string[]) => Promise<number>;
}

interface ChunkDone {
  readonly ids: readonly string[];
  /** How many of them count. */
  readonly counted: number;
}

const USUAL = 1_000;
// Leaves room for those who wait for the same rows, in milliseconds.
const PAUSE = 20;

const ofAll = (_: EntityManager, ids: readonly string[]): Promise<number> => Promise.resolve(ids.length);

/** One call that goes about many rows: chunk by chunk, each in a short transaction of its own, and each row at most once. */
export class BulkRun {
  /** How many rows are done. */
  done = 0;

  constructor(
    private readonly transactions: Transactions,
    private readonly options: BulkOptions = {},
    /** A chunk has committed that changed something. */
    private readonly onChanged: () => void = () => {},
  ) {}

  /** Works on all rows, in the order of their ids. */
  async over(rows: BulkRows, work: BulkWork): Promise<void> {
    const { dryRun = false, chunk = USUAL, onProgress, signal } = this.options;
    for (let after: string | undefined = '0'; after !== undefined;) {
      signal?.throwIfAborted();
      const { ids, counted }: ChunkDone = await this.chunk(rows, work, after);
      this.done += counted;
      if (counted > 0 && !dryRun) this.onChanged();
      onProgress?.(this.done);
      after = ids.length < chunk ? undefined : ids.at(-1);
      if (after !== undefined && !dryRun) await delay(PAUSE);
    }
  }

  private chunk(rows: BulkRows, { change, count = ofAll }: BulkWork, after: string): Promise<ChunkDone> {
    const { dryRun = false } = this.options;
    const work = dryRun ? count : change;
    const step = async (manager: EntityManager) => {
      const ids = await this.next(manager, rows, after);
      return { ids, counted: ids.length === 0 ? 0 : await work(manager, ids) };
    };
    if (!dryRun) return this.transactions.run(step);
    return withRunner(this.transactions.manager, ({ manager }) => step(manager));
  }

  private async next(manager: EntityManager, { from, id, where }: BulkRows, after: string): Promise<string[]> {
    const { chunk = USUAL } = this.options;
    const further = `${where.sql} ${where.sql === '' ? 'WHERE' : 'AND'} ${id} > :after`;
    const sql = `SELECT ${id} AS id FROM ${from} ${further} ORDER BY ${id} LIMIT ${chunk}`;
    const found = await select<{ id: string }>(manager, sql, { ...where.parameters, after });
    return found.map((row) => String(row.id));
  }
}
