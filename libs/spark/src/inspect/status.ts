import type { EntityManager } from 'typeorm';
import type { Orphans } from '../store/delivery-admin.js';
import { select, withRunner } from '../database/statement.js';
import type { SparkCounts } from '../common/counters.js';
import type { RunningDelivery } from '../deliver/handling.js';
import { handlersOf, type HandlerStatus } from './handlers.js';
import { instant } from './instant.js';
import type { Source } from '../source/source.js';
import type { Inspected } from './inspected.js';
import { namesOf } from '../entity/entity-table.js';

/** The sweeps of a source. */
export interface SourceStatus {
  /** The source's name. */
  readonly source: string;
  /** The entity's name; undefined for a source that this process does not have. */
  readonly entity: string | undefined;
  /** When its last completed sweep ended. */
  readonly finished: Date | undefined;
  /** How many events all its sweeps have found. */
  readonly foundBySweep: number;
  /** How many of these live capture should have found. */
  readonly missed: number;
  /**
   * A sweep that is not completed: when it began, the last key that was handed out to a process, how many rows the completed ranges
   * have, how many ranges processes are sweeping now, and whether there are any.
   */
  readonly sweeping:
    | {
        readonly since: Date;
        readonly reached: string | undefined;
        readonly passed: number;
        readonly ranges: number;
        readonly running: boolean;
      }
    | undefined;
  /**
   * Whether a whole sweep has read all rows with the source's present code, so that nothing is past that Spark has not entered; undefined
   * for a source that this process does not have.
   */
  readonly adopted: boolean | undefined;
  /** Since when `pauseSweep` keeps it from being swept; undefined where it is not paused. */
  readonly paused: Date | undefined;
  /** Whether the last sweep that has begun reads all rows or only those that have changed, and why; undefined before the first one. */
  readonly last: { readonly rows: 'all' | 'changed'; readonly why: string } | undefined;
}

/** A process that handles deliveries. */
export interface WorkerStatus {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly started: Date;
  /** Until when its lease lasts, by the clock of the database. It renews the lease as long as it lives. */
  readonly leaseUntil: Date;
  /** How many deliveries it is handling. */
  readonly running: number;
  /** When the attempt began that it has been at for longest; undefined where nothing runs. */
  readonly oldest: Date | undefined;
}

/** The result of `SparkService.status()`. */
export interface SparkStatus {
  readonly sources: SourceStatus[];
  /** Groups with deliveries that wait for `release` or `discard`. */
  readonly held: { readonly group: string; readonly deliveries: number }[];
  readonly handlers: HandlerStatus[];
  /**
   * How many rechecks are due that this process can run, and since when the oldest. `others`: how many are due for entities of which
   * this process has no live source. Another process runs these. If none does, they are removed after `retention.rechecks`.
   */
  readonly rechecks: { readonly due: number; readonly oldest: Date | undefined; readonly others: number };
  /** Deliveries that wait for handlers that no process has. */
  readonly orphans: Orphans[];
  /** Processes whose lease has not expired. */
  readonly workers: WorkerStatus[];
  /** What handlers of this process are handling, and since when. */
  readonly running: readonly RunningDelivery[];
  /** What went wrong in this process since it booted without an error that the application can catch. */
  readonly counts: SparkCounts;
}

/** Reads the status of one SparkModule. */
export function statusOf(spark: Inspected): Promise<SparkStatus> {
  return withRunner(spark.dataSource.manager, async ({ manager }) => {
    const now = spark.clock.now();
    const held = await spark.held.count(manager);
    return {
      sources: await sourcesOf(manager, spark),
      held: [...held].map(([group, deliveries]) => ({ group, deliveries })),
      handlers: await handlersOf(manager, spark, now),
      rechecks: await rechecks(manager, spark, now),
      orphans: await spark.admin.orphans(manager, await spark.registered.gone(manager)),
      workers: await workersOf(manager, spark),
      running: spark.handling.runs,
      counts: spark.counters.all(),
    };
  });
}

interface SweepRow {
  source: string;
  is_running: number;
  ranges: string;
  began_at: string | null;
  reached: string | null;
  passed: string;
  paused_at: string | null;
  finished_at: string | null;
  changed_since: string | null;
  why: string | null;
  found: string;
  missed: string;
  code: string | null;
}

/** Reads the sweeps of each source. */
export async function sourcesOf(manager: EntityManager, spark: Inspected): Promise<SourceStatus[]> {
  const { dialect, tables } = spark;
  const range = `FROM ${tables.sweep_range} r WHERE r.source = s.source`;
  const rows = await select<SweepRow>(
    manager,
    `SELECT source, began_at, COALESCE(reached, handed_out) AS reached, passed, paused_at, finished_at, changed_since, why, missed, code,
       found + COALESCE((SELECT SUM(r.found) ${range}), 0) AS found,
       (SELECT COUNT(*) ${range} AND r.state IN ('open', 'ending') AND r.holder IS NOT NULL AND r.held_until >= ${dialect.clock}) AS ranges,
       CASE WHEN holder IS NOT NULL AND held_until >= ${dialect.clock} AND reached IS NOT NULL THEN 1 ELSE 0 END AS is_running
     FROM ${tables.sweep} s ORDER BY source`,
  );
  const swept = new Map(rows.map((row) => [row.source, row]));
  const names = new Set([...spark.sources.all().map(({ name }) => name), ...swept.keys()]);
  return [...names].sort().map((name) => statusOfSource(name, spark.sources.named(name), swept.get(name)));
}

function statusOfSource(name: string, source: Source | undefined, row: SweepRow | undefined): SourceStatus {
  const since = instant(row?.began_at);
  const ranges = Number(row?.ranges ?? 0);
  // A process of the previous release sweeps without ranges.
  const running = ranges > 0 || Number(row?.is_running) === 1;
  const why = row?.why ?? undefined;
  return {
    source: name,
    entity: source?.metadata.name,
    adopted: source && row?.code === source.code,
    finished: instant(row?.finished_at),
    foundBySweep: Number(row?.found ?? 0),
    missed: Number(row?.missed ?? 0),
    sweeping: since && { since, reached: row!.reached ?? undefined, passed: Number(row!.passed), ranges, running },
    paused: instant(row?.paused_at),
    last: why === undefined ? undefined : { rows: row!.changed_since === null ? 'all' : 'changed', why },
  };
}

async function rechecks(manager: EntityManager, spark: Inspected, now: number): Promise<SparkStatus['rechecks']> {
  const rows = await select<{ entity: string; n: string; oldest: string }>(
    manager,
    `SELECT entity, COUNT(*) AS n, MIN(due_at) AS oldest FROM ${spark.tables.recheck} WHERE due_at <= :now GROUP BY entity`,
    { now },
  );
  const own = new Set(spark.sources.liveRoots().flatMap(namesOf));
  const due = { due: 0, oldest: Infinity, others: 0 };
  for (const { entity, n, oldest } of rows) {
    if (own.has(entity)) {
      due.due += Number(n);
      due.oldest = Math.min(due.oldest, Number(oldest));
    } else due.others += Number(n);
  }
  return { ...due, oldest: due.due === 0 ? undefined : new Date(due.oldest) };
}

/** Reads the processes whose lease has not expired. */
export async function workersOf(manager: EntityManager, { dialect, tables }: Inspected): Promise<WorkerStatus[]> {
  const own = (what: string) =>
    `(SELECT ${what} FROM ${tables.delivery} d WHERE d.state = 'running' AND d.claimed_by = w.id)`;
  const rows = await select<WorkerRow>(
    manager,
    `SELECT id, host, pid, started_at, lease_until, ${own('COUNT(*)')} AS n, ${own('MIN(d.started_at)')} AS oldest
     FROM ${tables.worker} w WHERE lease_until >= ${dialect.clock} ORDER BY started_at, id`,
  );
  return rows.map((row) => ({
    id: row.id,
    host: row.host,
    pid: Number(row.pid),
    started: instant(row.started_at)!,
    leaseUntil: instant(row.lease_until)!,
    running: Number(row.n),
    oldest: instant(row.oldest),
  }));
}

interface WorkerRow {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly started_at: string;
  readonly lease_until: string;
  readonly n: string;
  readonly oldest: string | null;
}
