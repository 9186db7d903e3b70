import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';

/** A source that this process is sweeping, as long as no other process takes it over. */
export interface LeasedSweep {
  readonly source: string;
  /** The last key of the last page that was committed; undefined before the first one. */
  reached: string | undefined;
  /** When `reached` was last stored, by `performance.now()`. */
  savedAt: number | undefined;
  /** Whether the deliveries that it opens are discarded at once. */
  readonly baseline: boolean;
  /** When the last completed sweep of the source began, epoch ms. */
  readonly sweptAt: number | undefined;
}

/** A request to sweep a source. */
export interface SweepRequest {
  /** The planned instant of the schedule, in epoch milliseconds. It is left out for a sweep by a call. */
  readonly slot?: number;
  /** Begins at the start, and discards the deliveries that it opens. */
  readonly baseline?: boolean;
}

/** Another process has taken a sweep over. The transaction of the page is rolled back. */
export class LostSweep extends Error {}

interface SweepRow {
  reached: string | null;
  began_at: string | null;
  baseline: number;
  swept_at: string | null;
  is_free: number;
  is_past: number;
}

// No clock that is set right is this far ahead of the database's. A stored slot beyond it came from a clock that was set wrongly, and is
// ignored.
const FARTHEST_SLOT = 60 * 60_000;
const TRIES = 20;
/** In milliseconds. */
const PAUSE = 25;

/**
 * The leases of sweeps, and their progress. One process at a time sweeps a source, and once for each slot of a schedule. A lease ends by
 * the database's clock. Each page extends it in its own transaction, and rolls back if the lease was lost, so that a process that
 * stalled does not commit a page.
 */
export class SweepLease {
  private readonly id = randomUUID() as string;

  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    /** How long a process that does not extend its lease keeps it, in milliseconds. */
    private readonly ttl: number,
  ) {}

  /**
   * Takes a source. A sweep that was left half-way continues there. Returns `'elsewhere'` if another process has the source, and
   * `'swept'` if the slot was swept already.
   */
  async take(source: string, request: SweepRequest, now: number): Promise<LeasedSweep | 'elsewhere' | 'swept'> {
    for (let tries = 1; ; tries++) {
      const taken = await this.tryToTake(source, request, now);
      if (taken !== 'locked') return taken;
      // A process that locks the row for a moment may only find that its slot was swept. A sweep by a call waits for it.
      if (request.slot !== undefined || tries === TRIES) return 'elsewhere';
      await delay(PAUSE);
    }
  }

  /** Stores the current slot for sources that were never swept, so that any process sweeps them at the next slot. */
  async meet(sources: readonly string[], slot: number): Promise<void> {
    const { sweep } = this.tables;
    const row = `INTO ${sweep} (source, baseline, found, missed, slot) VALUES (:source, 0, 0, 0, :slot)`;
    for (const source of sources)
      await execute(this.dataSource.manager, this.dialect.insertOrIgnore(row), { source, slot });
  }

  private tryToTake(source: string, request: SweepRequest, now: number) {
    return this.transactions.run(async (manager): Promise<LeasedSweep | 'elsewhere' | 'swept' | 'locked'> => {
      await this.ensureRow(manager, source);
      const row = await this.lock(manager, source, request.slot);
      if (!row) return 'locked';
      if (Number(row.is_past) === 1) return 'swept';
      if (Number(row.is_free) === 0) return 'elsewhere';
      const goesOn = row.began_at !== null && !request.baseline;
      const began = goesOn ? Number(row.began_at) : now;
      const reached = goesOn ? row.reached : null;
      const baseline = request.baseline ?? (goesOn && Number(row.baseline) === 1);
      await this.begin(manager, source, { slot: request.slot, began, reached, baseline: Number(baseline) });
      const sweptAt = row.swept_at === null ? undefined : Number(row.swept_at);
      return { source, reached: reached ?? undefined, savedAt: undefined, baseline, sweptAt };
    });
  }

  /** Extends the lease during work that may take longer than it lasts. */
  async during<T>(leased: LeasedSweep, work: () => Promise<T>): Promise<T> {
    const extend = () => this.update(this.dataSource.manager, leased, this.extended, {});
    // If this fails, the next page finds out that the lease was lost.
    const timer = setInterval(() => void extend().catch(() => undefined), this.ttl / 3);
    try {
      return await work();
    } finally {
      clearInterval(timer);
    }
  }

  /** Extends the lease. Throws LostSweep if it was lost. */
  async confirm(leased: LeasedSweep): Promise<void> {
    await this.owned(this.dataSource.manager, leased, this.extended, {});
  }

  /** Stores in the page's transaction how far the sweep has come, and how many events it found. Throws LostSweep. */
  async advance(manager: EntityManager, leased: LeasedSweep, reached: string, found: number): Promise<void> {
    const changes = `${this.extended}, reached = :reached, found = found + :found`;
    await this.owned(manager, leased, changes, { reached, found });
    leased.savedAt = performance.now();
  }

  /** Adds to the number of events that live capture has missed. */
  async missed(leased: LeasedSweep, missed: number): Promise<void> {
    const add = `UPDATE ${this.tables.sweep} SET missed = missed + :missed WHERE source = :source`;
    await execute(this.dataSource.manager, add, { missed, source: leased.source });
  }

  /** Stores in a transaction that the sweep has reached the end of the table. Throws LostSweep. */
  async finish(manager: EntityManager, leased: LeasedSweep, now: number): Promise<void> {
    const changes = `${this.extended}, swept_at = began_at, finished_at = :now, began_at = NULL, reached = NULL, baseline = 0`;
    await this.owned(manager, leased, changes, { now });
    leased.reached = undefined;
  }

  /** Begins the sweep again from the start. Throws LostSweep. */
  async restart(leased: LeasedSweep, now: number): Promise<void> {
    const changes = `${this.extended}, began_at = :now, reached = NULL, baseline = :baseline`;
    await this.owned(this.dataSource.manager, leased, changes, { now, baseline: Number(leased.baseline) });
    leased.reached = undefined;
  }

  /** Gives the source back. The next sweep continues where this one ended, or begins at the start. */
  async leave(leased: LeasedSweep, atStart: boolean): Promise<void> {
    const reached = atStart ? null : (leased.reached ?? null);
    await this.update(this.dataSource.manager, leased, 'holder = NULL, reached = :reached', { reached });
  }

  private get extended(): string {
    return `held_until = ${this.dialect.clock} + :ttl`;
  }

  private async ensureRow(manager: EntityManager, source: string): Promise<void> {
    const { sweep } = this.tables;
    const known = await select(manager, `SELECT 1 FROM ${sweep} WHERE source = :source`, { source });
    const row = `INTO ${sweep} (source, baseline, found, missed) VALUES (:source, 0, 0, 0)`;
    if (known.length === 0) await execute(manager, this.dialect.insertOrIgnore(row), { source });
  }

  // A locked row is skipped: another process is taking or extending the lease, or has stalled.
  private async lock(manager: EntityManager, source: string, slot: number | undefined): Promise<SweepRow | undefined> {
    const { clock, skipsLocked } = this.dialect;
    const past = slot === undefined ? '1 = 0' : `slot >= :slot AND slot < ${clock} + ${FARTHEST_SLOT}`;
    const [row] = await select<SweepRow>(
      manager,
      `SELECT reached, began_at, baseline, swept_at, CASE WHEN ${past} THEN 1 ELSE 0 END AS is_past,
         CASE WHEN holder IS NULL OR holder = :me OR held_until < ${clock} THEN 1 ELSE 0 END AS is_free
       FROM ${this.tables.sweep} WHERE source = :source ${skipsLocked ? 'FOR UPDATE SKIP LOCKED' : ''}`,
      { source, slot, me: this.id },
    );
    return row;
  }

  private async begin(
    manager: EntityManager,
    source: string,
    begun: { slot: number | undefined; began: number; reached: string | null; baseline: number },
  ): Promise<void> {
    const slot = begun.slot === undefined ? '' : ', slot = :slot';
    const changes = `${this.extended}, holder = :me, began_at = :began, reached = :reached, baseline = :baseline${slot}`;
    const update = `UPDATE ${this.tables.sweep} SET ${changes} WHERE source = :source`;
    await execute(manager, update, { ...begun, source, me: this.id, ttl: this.ttl });
  }

  private async owned(manager: EntityManager, leased: LeasedSweep, changes: string, values: object): Promise<void> {
    if ((await this.update(manager, leased, changes, values)) !== 1) throw new LostSweep();
  }

  private async update(manager: EntityManager, { source }: LeasedSweep, changes: string, values: object) {
    const update = `UPDATE ${this.tables.sweep} SET ${changes} WHERE source = :source AND holder = :me`;
    return (await execute(manager, update, { ...values, source, me: this.id, ttl: this.ttl })).affected;
  }
}
