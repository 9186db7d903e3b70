import type { EntityManager } from 'typeorm';
import { chunks, select } from '../database/statement.js';
import type { Handler } from '../handler/handler.registry.js';
import { FINAL_REASONS } from '../store/discard-reasons.js';
import { instant } from './instant.js';
import type { Inspected } from './inspected.js';

/** What a handler of this process may do, with the defaults of the module. */
export interface HandlerLimits {
  /** Which deliveries are claimed first: those with a lower number. */
  readonly priority: number;
  /** How many of its deliveries this process handles at once; undefined if it shares the module's `worker.concurrency`. */
  readonly concurrency: number | undefined;
  /** How many of its deliveries all processes handle at once; undefined for no limit. */
  readonly fleetConcurrency: number | undefined;
  /** How many of its deliveries may begin within a time, in milliseconds, and whether each value of a field has a limit of its own. */
  readonly rateLimit: { readonly max: number; readonly perMs: number; readonly key: string | undefined } | undefined;
  /** The field of the metadata by which its deliveries are partitioned; undefined if they are not. */
  readonly partitionBy: string | undefined;
  /** How long a call may take, in milliseconds. */
  readonly timeoutMs: number | undefined;
  readonly maxAttempts: number;
  readonly transactional: boolean;
  readonly revalidate: boolean;
}

/** A handler, and its deliveries that are not completed. */
export interface HandlerStatus {
  readonly handler: string;
  /**
   * The patterns of groups under which processes have registered it, as `/source/flags`, the one that was seen last first. There are several
   * while a deploy changes it, and none for a handler that no process has ever registered.
   */
  readonly patterns: readonly string[];
  /** Its limits in this process; undefined for a handler that this process does not have. */
  readonly limits: HandlerLimits | undefined;
  /** When a process last registered it. Processes do so each minute. */
  readonly lastSeen: Date | undefined;
  /** How many are due now. */
  readonly available: number;
  /** Since when the oldest of these is due; undefined where none is. */
  readonly oldest: Date | undefined;
  /** How many are due later: they failed and will be retried, or a carrier brings them to a process. */
  readonly waiting: number;
  /** How many of these a carrier brings to a process. */
  readonly dispatched: number;
  readonly running: number;
  /** How many wait for `release` or `discard`. */
  readonly held: number;
  /** How many were given up, after failures or by a call, without those of a baseline, those that were held, and erased ones. */
  readonly discarded: number;
  /** Since when `pauseHandler` keeps it from going on; undefined where it is not paused. */
  readonly paused: Date | undefined;
}

/** What `SparkService.handlers()` is asked for. */
export interface HandlersRequest {
  /**
   * About how many deliveries are counted at most, 1 or more: available ones of each handler, and held and discarded ones of all handlers.
   * Then the cost does not grow with the number of deliveries. Default: all are counted.
   */
  readonly countUpTo?: number;
}

type Counts = Pick<HandlerStatus, 'available' | 'waiting' | 'dispatched' | 'running' | 'held' | 'discarded' | 'oldest'>;

const NONE: Counts = {
  available: 0,
  waiting: 0,
  dispatched: 0,
  running: 0,
  held: 0,
  discarded: 0,
  oldest: undefined,
};
// A statement with more parts would be slow to plan.
const HANDLERS_AT_ONCE = 50;

/** Reads all handlers, with counts of their deliveries that are not completed. */
export async function handlersOf(
  manager: EntityManager,
  spark: Inspected,
  now: number,
  countUpTo?: number,
): Promise<HandlerStatus[]> {
  const counts = new HandlerCounts();
  if (countUpTo === undefined) await countAll(manager, spark, now, counts);
  else await countSome(manager, spark, now, countUpTo, counts);
  const rows = await select<{ name: string; pattern: string; last_seen_at: number }>(
    manager,
    `SELECT name, pattern, last_seen_at FROM ${spark.tables.handler} ORDER BY name, last_seen_at DESC, version`,
  );
  const registered = new Map<string, typeof rows>();
  for (const row of rows) registered.set(row.name, [...(registered.get(row.name) ?? []), row]);
  const paused = await spark.handlerPauses.since(manager);
  return [...counts.of(registered.keys())].map(([handler, own]) => {
    const versions = registered.get(handler) ?? [];
    return {
      handler,
      patterns: [...new Set(versions.map(({ pattern }) => pattern))],
      limits: limitsOf(spark, spark.handlers.named(handler)),
      lastSeen: instant(versions[0]?.last_seen_at),
      ...own,
      paused: paused.get(handler),
    };
  });
}

/** The counts of each handler. */
class HandlerCounts {
  private readonly byName = new Map<string, Counts>();

  add(handler: string, counts: Partial<Counts>): void {
    this.byName.set(handler, { ...(this.byName.get(handler) ?? NONE), ...counts });
  }

  /** The counts of these handlers and of all that were added, by name. */
  of(handlers: Iterable<string>): [handler: string, counts: Counts][] {
    const names = [...new Set([...this.byName.keys(), ...handlers])].sort((a, b) => (a < b ? -1 : 1));
    return names.map((name) => [name, this.byName.get(name) ?? NONE]);
  }
}

/** Counts available deliveries that are due later. */
const LATER = `SUM(CASE WHEN due_at > :now THEN 1 ELSE 0 END) AS later,
  SUM(CASE WHEN due_at > :now AND claimed_by IS NOT NULL THEN 1 ELSE 0 END) AS dispatched`;

/** The columns of {@link LATER}. */
interface Later {
  readonly later: string | null;
  readonly dispatched: string | null;
}

interface CountRow extends Later {
  readonly handler: string;
  readonly n: string;
  readonly history: string;
  readonly oldest: string | null;
}

function laterOf(n: string, { later, dispatched }: Later): Pick<Counts, 'available' | 'waiting' | 'dispatched'> {
  const waiting = Number(later ?? 0);
  return { available: Number(n) - waiting, waiting, dispatched: Number(dispatched ?? 0) };
}

async function countAll(manager: EntityManager, { tables }: Inspected, now: number, counts: HandlerCounts) {
  // One statement for each state, with the state as a literal, as in the partial index: SQLite compares the texts of both.
  for (const state of ['available', 'running', 'held', 'discarded'] as const) {
    const rows = await select<CountRow>(
      manager,
      `SELECT handler, COUNT(*) AS n, ${LATER},
         SUM(CASE WHEN last_error IN (:...reasons) THEN 1 ELSE 0 END) AS history,
         MIN(CASE WHEN due_at <= :now THEN due_at END) AS oldest
       FROM ${tables.delivery} WHERE state = '${state}' GROUP BY handler`,
      { now, reasons: FINAL_REASONS },
    );
    for (const { handler, n, history, oldest, ...later } of rows) {
      if (state === 'available') counts.add(handler, { ...laterOf(n, later), oldest: instant(oldest) });
      else counts.add(handler, { [state]: Number(n) - (state === 'discarded' ? Number(history) : 0) });
    }
  }
}

/** Reads about `most` rows of each state, by indexes. */
async function countSome(
  manager: EntityManager,
  spark: Inspected,
  now: number,
  most: number,
  counts: HandlerCounts,
): Promise<void> {
  const { dialect, tables } = spark;
  const awaited = await dialect.handlersAwaited(manager);
  for (const part of chunks(awaited, HANDLERS_AT_ONCE)) await countAvailable(manager, spark, part, now, most, counts);
  const held = `SELECT handler FROM ${tables.delivery} WHERE state = 'held' ORDER BY ${dialect.heldOrder} LIMIT ${most}`;
  const running = `SELECT handler FROM ${tables.delivery} WHERE state = 'running'`;
  for (const [state, some] of Object.entries({ held, running })) {
    const sql = `SELECT handler, COUNT(*) AS n FROM (${some}) d GROUP BY handler`;
    for (const { handler, n } of await select<{ handler: string; n: string }>(manager, sql))
      counts.add(handler, { [state]: Number(n) });
  }
  const discarded = await dialect.discardedSince(manager, { since: 0, except: FINAL_REASONS, most });
  for (const [handler, n] of discarded) counts.add(handler, { discarded: n });
}

async function countAvailable(
  manager: EntityManager,
  { dialect, tables }: Inspected,
  handlers: readonly string[],
  now: number,
  most: number,
  counts: HandlerCounts,
): Promise<void> {
  const parameters: Record<string, unknown> = { now };
  const parts = handlers.map((handler, i) => {
    parameters[`handler${i}`] = handler;
    return `SELECT ${i} AS nth, COUNT(*) AS n, ${LATER}
      FROM (SELECT due_at, claimed_by FROM ${tables.delivery} WHERE state = 'available' AND handler = :handler${i} LIMIT ${most}) d${i}`;
  });
  const rows = await select<Later & { nth: string; n: string }>(manager, parts.join(' UNION ALL '), parameters);
  for (const { nth, n, ...later } of rows) counts.add(handlers[Number(nth)]!, laterOf(n, later));
  const oldest = new Map<string, number>();
  for (const { handler, since } of await dialect.queuesOf(manager, handlers))
    if (since <= now) oldest.set(handler, Math.min(since, oldest.get(handler) ?? Infinity));
  for (const [handler, since] of oldest) counts.add(handler, { oldest: new Date(since) });
}

function limitsOf({ settings }: Inspected, handler: Handler | undefined): HandlerLimits | undefined {
  if (!handler) return undefined;
  const { options, limits, partitionBy, timeout: timeoutMs } = handler;
  const { priority = 0, concurrency, maxAttempts = settings.worker.maxAttempts } = options;
  const { transactional = false, revalidate = false } = options;
  const rateLimit = limits?.rate && { max: limits.rate.max, perMs: limits.rate.per, key: options.rateLimit?.key };
  const shared = { fleetConcurrency: limits?.concurrency, rateLimit, partitionBy };
  return { priority, concurrency, ...shared, timeoutMs, maxAttempts, transactional, revalidate };
}
