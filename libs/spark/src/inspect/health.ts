import type { EntityManager } from 'typeorm';
import { HEALTH_LIMITS } from '../common/health-limits.js';
import { parseDuration } from '../config/option-parsers.js';
import type { Duration } from '../config/spark.options.js';
import { select, withRunner } from '../database/statement.js';
import type { Orphans } from '../store/delivery-admin.js';
import { FINAL_REASONS } from '../store/discard-reasons.js';
import { type SweepHealth, sweepHealth } from './health-of-sweeps.js';
import type { Inspected } from './inspected.js';
import { workersOf } from './status.js';

export type { SweepHealth } from './health-of-sweeps.js';

/** What `SparkService.health()` is asked for. */
export interface HealthRequest {
  /** How long ago deliveries were discarded at most, in ms or as text such as `'1h'`. Default: an hour. */
  readonly discardedWithin?: Duration;
}

/** The due deliveries of a handler. */
export interface HandlerBacklog {
  readonly handler: string;
  /** When the delivery that has waited longest was due. */
  readonly since: Date;
}

/** Deliveries of a handler that were discarded of late. */
export interface RecentDiscards {
  readonly handler: string;
  /** How many; about 1,000 are counted. */
  readonly deliveries: number;
}

/** Deliveries of a group that wait for `release` or `discard`. */
export interface HeldGroup {
  readonly group: string;
  /** How many; 1,000 of all groups are counted. */
  readonly deliveries: number;
  /** When the oldest of them was opened. */
  readonly since: Date;
}

/** The figures of a health check: the result of `SparkService.health()`. */
export interface SparkHealth {
  /** When they were read, by the clock of due deliveries: `SPARK_CLOCK`. */
  readonly now: Date;
  /** Handlers with due deliveries, without orphans and paused handlers. */
  readonly backlog: readonly HandlerBacklog[];
  /** Deliveries that were given up, after failures or by a call, without those of a baseline, those that were held, and erased ones. */
  readonly discarded: readonly RecentDiscards[];
  /** Deliveries that wait for handlers that no process has; at most 1,000 of each are counted. */
  readonly orphans: readonly Orphans[];
  readonly held: readonly HeldGroup[];
  /** The sweeps of the sources that this process has. */
  readonly sweeps: readonly SweepHealth[];
  /** Handlers that `pauseHandler` keeps from going on, and since when. */
  readonly paused: readonly HandlerBacklog[];
  /** How many processes have a valid lease, so that they can handle deliveries. */
  readonly workers: number;
  /**
   * The lease of this process: `held`; `lost` if it had one and has none now, so that it handles nothing; `pending` if it has not taken
   * one yet; `none` if it needs none, because its worker is off or paused, or it has no handlers.
   */
  readonly lease: 'held' | 'lost' | 'pending' | 'none';
}

type HasLease = Pick<Inspected, 'settings' | 'workerTicker' | 'handlers' | 'lease'>;

/** How many rows a statement reads at most, or about. */
export const MOST = 1_000;

/** Reads the figures of a health check. Each statement reads few rows, however many there are. */
export async function healthOf(spark: Inspected, request: HealthRequest): Promise<SparkHealth> {
  const { discardedWithin = HEALTH_LIMITS.discardedWithin } = request;
  const within = parseDuration('SparkService.health: discardedWithin', discardedWithin);
  return withRunner(spark.dataSource.manager, async ({ manager }) => {
    const now = spark.clock.now();
    const since = Math.floor(now - within);
    const discarded = await spark.dialect.discardedSince(manager, { since, except: FINAL_REASONS, most: MOST });
    const paused = await spark.handlerPauses.since(manager);
    return {
      now: new Date(now),
      ...(await waiting(manager, spark, now, paused)),
      discarded: [...discarded].map(([handler, deliveries]) => ({ handler, deliveries })),
      held: await held(manager, spark),
      sweeps: await sweepHealth(manager, spark),
      paused: [...paused].map(([handler, at]) => ({ handler, since: at })),
      workers: (await workersOf(manager, spark)).length,
      lease: leaseOf(spark),
    };
  });
}

/** Whether this process has the lease that it should have. */
export function leaseOf({ settings, workerTicker, handlers, lease }: HasLease): SparkHealth['lease'] {
  if (!settings.worker.enabled || !workerTicker.isStarted || handlers.all().length === 0) return 'none';
  if (lease.isHeld) return 'held';
  return lease.isTaken ? 'lost' : 'pending';
}

/** Reads the available deliveries: those of handlers that a process has, and orphans. */
async function waiting(
  manager: EntityManager,
  spark: Inspected,
  now: number,
  paused: ReadonlyMap<string, Date>,
): Promise<Pick<SparkHealth, 'backlog' | 'orphans'>> {
  const { dialect, registered } = spark;
  const since = new Map<string, number>();
  const awaited = await dialect.handlersAwaited(manager);
  if (awaited.length === 0) return { backlog: [], orphans: [] };
  for (const queue of await dialect.queuesOf(manager, awaited))
    since.set(queue.handler, Math.min(queue.since, since.get(queue.handler) ?? Infinity));
  const gone = await registered.gone(manager);
  const known = new Set(await registered.known(manager));
  const backlog: HandlerBacklog[] = [];
  const orphans: Orphans[] = [];
  for (const [handler, due] of [...since].sort(([, a], [, b]) => a - b)) {
    if (gone.has(handler) || !known.has(handler)) {
      const deliveries = await countOf(manager, spark, handler);
      orphans.push({ handler, deliveries, since: new Date(due), lastSeen: gone.get(handler) });
    } else if (due <= now && !paused.has(handler)) backlog.push({ handler, since: new Date(due) });
  }
  return { backlog, orphans };
}

async function countOf(manager: EntityManager, { tables }: Inspected, handler: string): Promise<number> {
  const some = `SELECT 1 FROM ${tables.delivery} WHERE state = 'available' AND handler = :handler LIMIT ${MOST}`;
  const [row] = await select<{ n: string }>(manager, `SELECT COUNT(*) AS n FROM (${some}) d`, { handler });
  return Number(row!.n);
}

/** Reads held deliveries, about the oldest ones. */
async function held(manager: EntityManager, { dialect, tables }: Inspected): Promise<HeldGroup[]> {
  const rows = await select<{ name: string; n: string; since: string }>(
    manager,
    `SELECT e.event_group AS name, COUNT(*) AS n, MIN(d.due_at) AS since
     FROM (SELECT event_id, due_at FROM ${tables.delivery} WHERE state = 'held' ORDER BY ${dialect.heldOrder} LIMIT ${MOST}) d
     JOIN ${tables.event} e ON e.id = d.event_id GROUP BY e.event_group ORDER BY e.event_group`,
  );
  return rows.map(({ name, n, since }) => ({ group: name, deliveries: Number(n), since: new Date(Number(since)) }));
}
