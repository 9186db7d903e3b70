import type { EntityManager } from 'typeorm';
import { parseDuration } from '../config/option-parsers.js';
import type { Duration } from '../config/spark.options.js';
import { select } from '../database/statement.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { firstIdSince, OUT_OF_ORDER } from '../store/event-times.js';
import type { Inspected } from './inspected.js';

/** What `SparkService.rates()` is asked for. */
export interface RatesRequest {
  /** How far back the minutes go, in ms or as text such as `'3h'`: a minute to a day. Default: an hour. */
  readonly within?: Duration;
}

/** What happened in a minute. */
export interface MinuteRate {
  /** When the minute began. */
  readonly at: Date;
  /** How many events were entered. */
  readonly events: number;
  /** How many deliveries these events have. Deliveries that were removed do not count, such as completed ones without `history`. */
  readonly deliveries: number;
}

/** Events and their deliveries, minute by minute: the result of `SparkService.rates()`. */
export interface SparkRates {
  /** The minutes, oldest first, each once, up to the present one, which is not over. */
  readonly minutes: readonly MinuteRate[];
  /** Whether the first minutes are left out, because more happened since than is counted. */
  readonly isCut: boolean;
}

const MINUTE = 60_000;
const MOST_MINUTES = 24 * 60;
/** How many events, and how many deliveries, are counted at most. */
const MOST = 100_000;

/** Counts the latest events and their deliveries by the minute. It reads only rows of these minutes, by their ids. */
export async function ratesOf(
  manager: EntityManager,
  spark: Inspected,
  { within = '1h' }: RatesRequest,
): Promise<SparkRates> {
  const asked = Math.ceil(parseDuration('SparkService.rates: within', within) / MINUTE);
  if (asked > MOST_MINUTES) throw new InvalidOptionsError('SparkService.rates: within', within, 'at most a day');
  const last = minuteOf(spark.clock.now());
  const first = last - (asked - 1) * MINUTE;
  const { event, delivery } = spark.tables;
  const start = await firstIdSince(manager, spark.tables, first - OUT_OF_ORDER);
  const events = await counted(
    manager,
    `SELECT id, recorded_at FROM ${event} WHERE id >= :start ORDER BY id DESC LIMIT ${MOST}`,
    start,
  );
  const deliveries = await counted(
    manager,
    `SELECT e.id, e.recorded_at
     FROM (SELECT event_id FROM ${delivery} WHERE event_id >= :start ORDER BY event_id DESC LIMIT ${MOST}) d
     JOIN ${event} e ON e.id = d.event_id WHERE e.id >= :start`,
    start,
  );
  const from = Math.max(first, events.completeFrom, deliveries.completeFrom);
  const minutes: MinuteRate[] = [];
  for (let at = from; at <= last; at += MINUTE)
    minutes.push({ at: new Date(at), events: events.of.get(at) ?? 0, deliveries: deliveries.of.get(at) ?? 0 });
  return { minutes, isCut: from > first };
}

const minuteOf = (at: number): number => at - (at % MINUTE);

/** Counts rows by the minute. `completeFrom`: from which minute on all rows are counted. */
async function counted(manager: EntityManager, rows: string, start: string) {
  const found = await select<{ minute: string; n: string }>(
    manager,
    `SELECT minute, COUNT(*) AS n FROM (SELECT recorded_at - recorded_at % ${MINUTE} AS minute FROM (${rows}) r) m GROUP BY minute`,
    { start },
  );
  const of = new Map(found.map(({ minute, n }) => [Number(minute), Number(n)]));
  const all = [...of.values()].reduce((sum, n) => sum + n, 0);
  // The oldest minute that was reached is not complete.
  return { of, completeFrom: all < MOST ? -Infinity : Math.min(...of.keys()) + MINUTE };
}
