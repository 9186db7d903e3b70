import { setTimeout as delay } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import { select, withRunner } from '../database/statement.js';
import type { Transactions } from '../database/transactions.js';
import type { Conditions } from './record-filter.js';

/** Options of calls that change many rows. */
export interface BulkOptions {
  /** Counts the rows that the call would change, and changes nothing. Default: false. */
  readonly dryRun?: boolean;
  /** How many rows share a transaction, 1 to 10,000. Default: 1,000. */
  readonly chunk?: number;
  /** Called after each chunk with how many rows are done so far. If it throws, the call ends with that error. */
  readonly onProgress?: (done: number) => void;
  /** Ends the call between two chunks: the call throws the signal's reason. Chunks that are done stay done. */
  readonly signal?: AbortSignal;
}

/** Options of calls that deliver deliveries again. */
export interface RedeliveryOptions extends BulkOptions {
  /** Their priority, like that of a handler, from -1,000 to 1,000. Lower ones come first. Default: their old priority plus 1. */
  readonly priority?: number;
  /** How many at most: those that were opened first, or of `replay` those of the first events. Default: all. */
  readonly limit?: number;
}

/** The rows that a call works on. */
export interface BulkRows {
  readonly from: string;
  /** The column of their ids. Chunks are read in its order. */
  readonly id: string;
  readonly where: Conditions;
}

/** The work on the rows of a chunk. Both functions return how many rows they count. */
export interface BulkWork {
  readonly change: (manager: EntityManager, ids: string[]) => Promise<number>;
  /** Counts the rows that `change` would change. Default: all rows. */
  readonly count?: (manager: EntityManager, ids: string[]) => Promise<number>;
}

interface ChunkDone {
  readonly ids: readonly string[];
  /** How many of them the work has counted. */
  readonly counted: number;
}

const USUAL = 1_000;
// The pause between chunks, so that other transactions get the same rows, in milliseconds.
const PAUSE = 20;

const ofAll = (_: EntityManager, ids: readonly string[]): Promise<number> => Promise.resolve(ids.length);

/** One call that works on many rows, in chunks. Each chunk has a short transaction of its own, and each row is worked on at most once. */
export class BulkRun {
  /** How many rows are done. */
  done = 0;

  constructor(
    private readonly transactions: Transactions,
    private readonly options: BulkOptions & Pick<RedeliveryOptions, 'limit'> = {},
    /** Called after the commit of a chunk that changed rows. */
    private readonly onChanged: () => void = () => {},
  ) {}

  /** Works on all rows, in the order of their ids. */
  async over(rows: BulkRows, work: BulkWork): Promise<void> {
    const { dryRun = false, chunk = USUAL, limit = Infinity, onProgress, signal } = this.options;
    for (let after: string | undefined = '0'; after !== undefined && this.done < limit;) {
      signal?.throwIfAborted();
      const size = Math.min(chunk, limit - this.done);
      const { ids, counted }: ChunkDone = await this.chunk(rows, work, after, size);
      this.done += counted;
      if (counted > 0 && !dryRun) this.onChanged();
      onProgress?.(this.done);
      after = ids.length < size ? undefined : ids.at(-1);
      if (after !== undefined && this.done < limit && !dryRun) await delay(PAUSE);
    }
  }

  private chunk(rows: BulkRows, { change, count = ofAll }: BulkWork, after: string, size: number): Promise<ChunkDone> {
    const { dryRun = false } = this.options;
    const work = dryRun ? count : change;
    const step = async (manager: EntityManager) => {
      const ids = await this.next(manager, rows, after, size);
      return { ids, counted: ids.length === 0 ? 0 : await work(manager, ids) };
    };
    if (!dryRun) return this.transactions.run(step);
    return withRunner(this.transactions.manager, ({ manager }) => step(manager));
  }

  private async next(manager: EntityManager, { from, id, where }: BulkRows, after: string, size: number) {
    const further = `${where.sql} ${where.sql === '' ? 'WHERE' : 'AND'} ${id} > :after`;
    const sql = `SELECT ${id} AS id FROM ${from} ${further} ORDER BY ${id} LIMIT ${size}`;
    const found = await select<{ id: string }>(manager, sql, { ...where.parameters, after });
    return found.map((row) => String(row.id));
  }
}
