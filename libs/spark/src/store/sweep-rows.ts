import type { EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';

/** The row of a source, with the columns that concern a running sweep. */
export interface SweepRow {
  /** The number of the last sweep that has begun. */
  round: string;
  /** The number of the last sweep that was completed. */
  swept_round: string;
  began_at: string | null;
  /** The last key that a process of the previous release has reached. It knows no ranges. */
  reached: string | null;
  holder: string | null;
  baseline: number;
  swept_at: string | null;
  paused_at: string | null;
  /** The version of the source that is swept, or was swept last. */
  fingerprint: string | null;
  /** The code of the source that was swept completely. */
  code: string | null;
  /** The last key of the last range that was handed out, and whether that range ends with the table. */
  handed_out: string | null;
  handed_all: string;
  passed: string;
  changed_since: string | null;
  boundary: string | null;
  hindrance: string | null;
  full_at: string | null;
  /** Whether a sweep has begun for the slot of the request. */
  is_past: number;
  /** Whether a process of the previous release is sweeping. */
  is_old: number;
}

const COLUMNS = `round, swept_round, began_at, reached, holder, baseline, swept_at, paused_at, fingerprint, handed_out, handed_all, passed,
  changed_since, boundary, hindrance, full_at, code`;
// No clock that is set right is this far ahead of the database's. A stored slot beyond it came from a clock that was set wrongly, and is
// ignored.
const FARTHEST_SLOT = 60 * 60_000;
/** The holder of a source that processes with ranges are sweeping. The previous release takes it for another process. */
export const SHARED = 'ranges';

/** The columns of a sweep that begins. */
export const AT_START = 'reached = NULL, handed_out = NULL, handed_all = 0, passed = 0';
/** The columns of a source that is not being swept. */
export const ENDED = `began_at = NULL, holder = NULL, held_until = NULL, baseline = 0, ${AT_START}`;

/** Why a sweep reads all rows after keys were removed from the ledger. */
export const KEYS_REMOVED = 'keys were removed from the ledger';

/** Whether a process of the previous release has left a sweep half-way. */
export const isOfPreviousRelease = ({ reached, holder }: SweepRow): boolean =>
  reached !== null || (holder !== null && holder !== SHARED);

/** The row of each source in the table of sweeps. */
export class SweepRows {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    /** How long the source is kept from processes of the previous release, in milliseconds. */
    private readonly ttl: number,
  ) {}

  /** Locks the row of a source, and adds it if there is none. Returns undefined if another transaction has locked it. */
  async lock(manager: EntityManager, source: string, slot?: number): Promise<SweepRow | undefined> {
    const skips = this.dialect.skipsLocked ? 'FOR UPDATE SKIP LOCKED' : '';
    const row = await this.read(manager, source, slot, skips);
    if (row) return row;
    await this.add(manager, source);
    return this.read(manager, source, slot, skips);
  }

  /** Locks the row of a source as soon as no other transaction has locked it. */
  async waitForLock(manager: EntityManager, source: string): Promise<SweepRow> {
    await this.add(manager, source);
    return (await this.read(manager, source, undefined, this.dialect.skipsLocked ? 'FOR UPDATE' : ''))!;
  }

  /** Adds a row unless there is one. */
  async add(manager: EntityManager, source: string): Promise<void> {
    const { sweep } = this.tables;
    const known = await select(manager, `SELECT 1 FROM ${sweep} WHERE source = :source`, { source });
    const row = `INTO ${sweep} (source, baseline, found, missed) VALUES (:source, 0, 0, 0)`;
    if (known.length === 0) await execute(manager, this.dialect.insertOrIgnore(row), { source });
  }

  /** Stores that a source that was never swept has missed nothing before a slot. */
  async missedNothing(manager: EntityManager, source: string, slot: number): Promise<void> {
    await this.add(manager, source);
    const update = `UPDATE ${this.tables.sweep} SET slot = :slot WHERE source = :source AND slot IS NULL AND round = 0`;
    await execute(manager, update, { source, slot });
  }

  async change(manager: EntityManager, source: string, changes: string, values: object = {}): Promise<void> {
    const update = `UPDATE ${this.tables.sweep} SET ${changes} WHERE source = :source`;
    await execute(manager, update, { ...values, source, ttl: this.ttl });
  }

  /**
   * Makes the next sweep that begins read all rows. Without a source, it does so for all sources. The statement has no other condition,
   * so that it waits for a sweep that is beginning.
   */
  async needFull(manager: EntityManager, why: string, source?: string): Promise<void> {
    if (!this.dialect.rowVersions) return;
    const changes = 'boundary = NULL, next_boundary = NULL, hindrance = :why';
    const one = source === undefined ? '' : 'WHERE source = :source';
    await execute(manager, `UPDATE ${this.tables.sweep} SET ${changes} ${one}`, { why, source });
  }

  /** Keeps the source from processes of the previous release, as long as a sweep of it is running. */
  async keep(manager: EntityManager, source: string): Promise<void> {
    const update = `UPDATE ${this.tables.sweep} SET ${this.kept} WHERE source = :source AND holder = :shared`;
    await execute(manager, update, { source, shared: SHARED, ttl: this.ttl });
  }

  /** Adds to the number of events that live capture has missed. */
  async missed(manager: EntityManager, source: string, missed: number): Promise<void> {
    await this.change(manager, source, 'missed = missed + :missed', { missed });
  }

  /** Pauses the sweeps of a source in all processes. */
  async pause(manager: EntityManager, source: string, now: number): Promise<void> {
    await this.add(manager, source);
    await this.change(manager, source, 'paused_at = COALESCE(paused_at, :now)', { now });
  }

  /** Ends the pause of a source. */
  async resume(manager: EntityManager, source: string): Promise<void> {
    await this.change(manager, source, 'paused_at = NULL');
  }

  async isPaused(manager: EntityManager, source: string): Promise<boolean> {
    const sql = `SELECT 1 FROM ${this.tables.sweep} WHERE source = :source AND paused_at IS NOT NULL`;
    return (await select(manager, sql, { source })).length > 0;
  }

  /** SQL that keeps processes of the previous release from sweeping the source. */
  get kept(): string {
    return `held_until = ${this.dialect.clock} + :ttl`;
  }

  private async read(manager: EntityManager, source: string, slot: number | undefined, lock: string) {
    const { clock } = this.dialect;
    const past = slot === undefined ? '1 = 0' : `slot >= :slot AND slot < ${clock} + ${FARTHEST_SLOT}`;
    const [row] = await select<SweepRow>(
      manager,
      `SELECT ${COLUMNS}, CASE WHEN ${past} THEN 1 ELSE 0 END AS is_past,
         CASE WHEN holder <> :shared AND held_until >= ${clock} THEN 1 ELSE 0 END AS is_old
       FROM ${this.tables.sweep} WHERE source = :source ${lock}`,
      { source, slot, shared: SHARED },
    );
    return row;
  }
}
