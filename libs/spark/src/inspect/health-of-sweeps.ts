import type { EntityManager } from 'typeorm';
import { select } from '../database/statement.js';
import type { Inspected } from './inspected.js';
import { instant } from './instant.js';
import { nextSlot } from './sweep-slots.js';

/** The sweeps of a source, as a health check sees them. */
export interface SweepHealth {
  /** The source's name. */
  readonly source: string;
  /** How many events all its sweeps have found that live capture should have found. */
  readonly missed: number;
  /** Since when `pauseSweep` keeps it from being swept; undefined where it is not paused. */
  readonly paused: Date | undefined;
  /**
   * The first slot of this process's schedule for which no process has begun a sweep; undefined if there is none: the next slot is to come,
   * a process sweeps, its sweeps are paused, or this process has no schedule.
   */
  readonly overdue: Date | undefined;
  /**
   * A sweep that is not completed: when it began, how many rows it has read so far, and since when no process goes on with it; undefined
   * while one does.
   */
  readonly sweeping: { readonly since: Date; readonly read: number; readonly left: Date | undefined } | undefined;
}

interface Row {
  readonly source: string;
  readonly missed: string;
  readonly paused_at: string | null;
  readonly slot: string | null;
  readonly began_at: string | null;
  readonly passed: string;
  readonly subjects: string;
  /** For how long no process has held a part of the sweep, in milliseconds; below 0 while one does. */
  readonly left_for: string;
}

/** Reads the sweeps of the sources of this process. */
export async function sweepHealth(manager: EntityManager, spark: Inspected): Promise<SweepHealth[]> {
  const { dialect, tables } = spark;
  const ranges = `FROM ${tables.sweep_range} r WHERE r.source = s.source AND r.state <> 'apart'`;
  const rows = await select<Row>(
    manager,
    `SELECT source, missed, paused_at, slot, began_at, passed, COALESCE((SELECT SUM(r.subjects) ${ranges}), 0) AS subjects,
       ${dialect.clock} - COALESCE((SELECT MAX(r.held_until) ${ranges}), held_until, began_at) AS left_for
     FROM ${tables.sweep} s ORDER BY source`,
  );
  const own = new Set(spark.sources.all().map(({ name }) => name));
  return rows.filter(({ source }) => own.has(source)).map((row) => healthOfSource(spark, row));
}

function healthOfSource({ settings, clock }: Inspected, row: Row): SweepHealth {
  const since = instant(row.began_at);
  const paused = instant(row.paused_at);
  const leftFor = Number(row.left_for);
  const left = leftFor > 0 ? new Date(clock.now() - leftFor) : undefined;
  // Slots go by the process's clock, and with a clock that a test moves there are none.
  const isScheduled = settings.sweep && !(since && !left) && !paused && !clock.isManual && row.slot !== null;
  const next = isScheduled ? nextSlot(settings.sweep, Number(row.slot)) : Infinity;
  return {
    source: row.source,
    missed: Number(row.missed),
    paused,
    overdue: next <= Date.now() ? new Date(next) : undefined,
    sweeping: since && { since, read: Number(row.passed) + Number(row.subjects), left },
  };
}
