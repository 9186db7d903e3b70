import { randomUUID } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';

/**
 * The states of a range: `open` is swept; `failed` is not swept any more in this sweep; `ending` has no keys, and stands for the work that
 * ends a sweep; `apart` is swept by one process alone, by a call for some of the keys.
 */
export type RangeState = 'open' | 'failed' | 'ending' | 'apart';

/** A part of a sweep that this process has taken, as long as no other process takes it over. */
export interface SweepRange {
  readonly id: string;
  readonly source: string;
  readonly state: RangeState;
  /** The key before the range; undefined for the start of the table. */
  readonly after: string | undefined;
  /** The last key of the range; undefined for the end of the table. */
  readonly upTo: string | undefined;
  /** How many rows it has; undefined if nobody has counted them. */
  readonly size: number | undefined;
  /** The last key of the last page that was committed; undefined before the first one. */
  reached: string | undefined;
  /** How many entities were read. */
  subjects: number;
  /** Why the next sweep must read all rows; undefined if nothing is in its way. */
  hindrance: string | undefined;
  /** When `reached` was last stored, by `performance.now()`. */
  savedAt: number | undefined;
}

/** The bounds of a new range. */
export type NewRange = Pick<SweepRange, 'state' | 'after' | 'upTo' | 'size'>;

/** Another process has taken a range over. The transaction of the page is rolled back. */
export class LostSweep extends Error {}

interface RangeRow {
  id: string;
  state: RangeState;
  after_key: string | null;
  up_to: string | null;
  reached: string | null;
  size: string | null;
  subjects: string;
  hindrance: string | null;
}

/** How many ranges of a sweep there are. */
export interface RangeCounts {
  /** Those that are still to be swept, by any process, and calls for some of the keys. */
  readonly open: number;
  readonly failed: number;
  /** Those that a process is sweeping now. */
  readonly live: number;
}

/**
 * The ranges of keys of running sweeps. A range belongs to one process by a lease, which ends by the database's clock. Each page extends
 * it in its own transaction, and rolls back if the range was lost, so that a process that stalled does not commit a page.
 */
export class SweepRanges {
  private readonly me = randomUUID() as string;

  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    /** How long a process that does not extend its lease keeps it, in milliseconds. */
    private readonly ttl: number,
  ) {}

  /** Adds a range, which belongs to this process. */
  async add(manager: EntityManager, source: string, given: NewRange): Promise<SweepRange> {
    const id = randomUUID() as string;
    const { state, after, upTo, size } = given;
    const insert = `INSERT INTO ${this.tables.sweep_range} (id, source, state, after_key, up_to, size, holder, held_until, subjects, found)
      VALUES (:id, :source, :state, :after, :upTo, :size, :me, ${this.dialect.clock} + :ttl, 0, 0)`;
    const bounds = { after: after ?? null, upTo: upTo ?? null, size: size ?? null };
    await execute(manager, insert, { id, source, state, ...bounds, me: this.me, ttl: this.ttl });
    return { id, source, ...given, reached: undefined, subjects: 0, hindrance: undefined, savedAt: undefined };
  }

  /** Takes over a range in one of the states that no process is sweeping: its process has died, or has given it back. */
  async takeOver(
    manager: EntityManager,
    source: string,
    states: readonly RangeState[],
  ): Promise<SweepRange | undefined> {
    const { clock, skipsLocked } = this.dialect;
    const [row] = await select<RangeRow>(
      manager,
      `SELECT id, state, after_key, up_to, reached, size, subjects, hindrance FROM ${this.tables.sweep_range}
       WHERE source = :source AND state IN (:...states) AND (holder IS NULL OR held_until < ${clock})
       ORDER BY id LIMIT 1 ${skipsLocked ? 'FOR UPDATE SKIP LOCKED' : ''}`,
      { source, states },
    );
    if (!row) return undefined;
    const take = `UPDATE ${this.tables.sweep_range} SET holder = :me, held_until = ${clock} + :ttl WHERE id = :id`;
    await execute(manager, take, { id: row.id, me: this.me, ttl: this.ttl });
    return rangeOf(source, row);
  }

  /** Counts the ranges of a source. It removes calls for some of the keys whose process has died. */
  async count(manager: EntityManager, source: string): Promise<RangeCounts> {
    const { clock } = this.dialect;
    const dead = `DELETE FROM ${this.tables.sweep_range} WHERE source = :source AND state = 'apart' AND held_until < ${clock}`;
    await execute(manager, dead, { source });
    const rows = await select<{ state: RangeState; is_live: number }>(
      manager,
      `SELECT state, CASE WHEN holder IS NOT NULL AND held_until >= ${clock} THEN 1 ELSE 0 END AS is_live
       FROM ${this.tables.sweep_range} WHERE source = :source`,
      { source },
    );
    const failed = rows.filter(({ state }) => state === 'failed').length;
    const live = rows.filter((row) => row.state !== 'apart' && Number(row.is_live) === 1).length;
    return { open: rows.length - failed, failed, live };
  }

  /** Whether a process is ending the sweep of a source. */
  async isEnding(manager: EntityManager, source: string): Promise<boolean> {
    const sql = `SELECT 1 FROM ${this.tables.sweep_range}
      WHERE source = :source AND state = 'ending' AND holder IS NOT NULL AND held_until >= ${this.dialect.clock}`;
    return (await select(manager, sql, { source })).length > 0;
  }

  /** Extends the leases of this process on a source. */
  async extend(manager: EntityManager, source: string): Promise<void> {
    const update = `UPDATE ${this.tables.sweep_range} SET ${this.extended} WHERE source = :source AND holder = :me`;
    await execute(manager, update, { source, me: this.me, ttl: this.ttl });
  }

  /** Extends the lease on a range. Throws LostSweep. */
  async confirm(manager: EntityManager, range: SweepRange): Promise<void> {
    await this.owned(manager, range, this.extended, {});
  }

  /** Stores in the page's transaction how far a range is, and how many events it has found. Throws LostSweep. */
  async advance(manager: EntityManager, range: SweepRange, to: Reached): Promise<void> {
    const { reached, subjects, found } = to;
    const { hindrance = null } = range;
    const changes = `${this.extended}, reached = :reached, subjects = :subjects, found = found + :found, hindrance = :hindrance`;
    await this.owned(manager, range, changes, { reached, subjects, found, hindrance });
  }

  /** How many events a range has found. */
  async found(manager: EntityManager, { id }: SweepRange): Promise<number> {
    const sql = `SELECT found FROM ${this.tables.sweep_range} WHERE id = :id`;
    const [row] = await select<{ found: string }>(manager, sql, { id });
    return Number(row?.found ?? 0);
  }

  /** Removes a range that this process has swept. Throws LostSweep. */
  async remove(manager: EntityManager, { id }: SweepRange): Promise<void> {
    const remove = `DELETE FROM ${this.tables.sweep_range} WHERE id = :id AND holder = :me`;
    if ((await execute(manager, remove, { id, me: this.me })).affected !== 1) throw new LostSweep();
  }

  /** Marks a range as failed, so that no process takes it again in this sweep. Throws LostSweep. */
  async fail(manager: EntityManager, range: SweepRange): Promise<void> {
    if (range.state === 'apart') return this.remove(manager, range);
    await this.owned(manager, range, `state = 'failed', holder = NULL`, {});
  }

  /** Gives a range back, so that another process can take it at once. */
  async leave(manager: EntityManager, range: SweepRange): Promise<void> {
    // Nobody else goes on with a call for some of the keys.
    if (range.state === 'apart') return this.remove(manager, range).catch(() => undefined);
    const { reached = null, subjects, hindrance = null } = range;
    const changes = `holder = NULL, reached = :reached, subjects = :subjects, hindrance = :hindrance`;
    await this.update(manager, range, changes, { reached, subjects, hindrance });
  }

  /** Removes the ranges of a sweep. Calls for some of the keys go on. Returns how many events they have found. */
  async clear(manager: EntityManager, source: string): Promise<number> {
    const ofSweep = `FROM ${this.tables.sweep_range} WHERE source = :source AND state <> 'apart'`;
    const [row] = await select<{ found: string | null }>(manager, `SELECT SUM(found) AS found ${ofSweep}`, { source });
    await execute(manager, `DELETE ${ofSweep}`, { source });
    return Number(row?.found ?? 0);
  }

  private get extended(): string {
    return `held_until = ${this.dialect.clock} + :ttl`;
  }

  private async owned(manager: EntityManager, range: SweepRange, changes: string, values: object): Promise<void> {
    if ((await this.update(manager, range, changes, values)) !== 1) throw new LostSweep();
  }

  private async update(manager: EntityManager, { id }: SweepRange, changes: string, values: object) {
    const update = `UPDATE ${this.tables.sweep_range} SET ${changes} WHERE id = :id AND holder = :me`;
    return (await execute(manager, update, { ...values, id, me: this.me, ttl: this.ttl })).affected;
  }
}

/** How far a range is after a page. */
export interface Reached {
  readonly reached: string;
  /** How many entities of the range were read. */
  readonly subjects: number;
  /** How many events the page has entered. */
  readonly found: number;
}

function rangeOf(source: string, row: RangeRow): SweepRange {
  return {
    id: row.id,
    source,
    state: row.state,
    after: row.after_key ?? undefined,
    upTo: row.up_to ?? undefined,
    size: row.size === null ? undefined : Number(row.size),
    reached: row.reached ?? undefined,
    subjects: Number(row.subjects),
    hindrance: row.hindrance ?? undefined,
    savedAt: undefined,
  };
}
