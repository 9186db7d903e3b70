import type { EntityManager } from 'typeorm';
import {
  Conditions,
  deliveryConditions,
  type DeliveryRecordFilter,
  type FilteredEntity,
} from '../store/record-filter.js';
import { instant } from './instant.js';
import type { Inspected } from './inspected.js';
import { read } from './read-page.js';
import type { AttemptRecord, ErrorRecord, Page, PageRequest } from './records.js';

/** The failed attempts of a delivery, oldest first. */
export async function attemptsOf(
  manager: EntityManager,
  { failedAttempts }: Inspected,
  deliveryId: string,
): Promise<AttemptRecord[]> {
  const rows = await failedAttempts.of(manager, deliveryId);
  return rows.map((row) => ({
    attempt: Number(row.attempt),
    host: row.host,
    pid: Number(row.pid),
    started: instant(row.started_at)!,
    durationMs: Number(row.duration_ms),
    error: row.error,
    fingerprint: row.fingerprint,
  }));
}

interface ErrorRow {
  fingerprint: string;
  handler: string;
  deliveries: string;
  discarded: string;
  first_at: string;
  last_at: string;
  latest: string;
  error: string;
}

/** The errors of deliveries that wait or are discarded, latest first. */
export function errorPage(
  spark: Inspected,
  filter: DeliveryRecordFilter,
  of: FilteredEntity | undefined,
  page: PageRequest,
): Promise<Page<ErrorRecord>> {
  const { event, delivery, attempt } = spark.tables;
  const { readUpTo } = page;
  const { sql, parameters } = deliveryConditions(filter, of, spark.tables, readUpTo).add(
    true,
    `d.state IN ('available', 'discarded')`,
    {},
  );
  const some = filter.fingerprint === undefined ? '' : 'WHERE fingerprint = :fingerprint';
  const latest = `(SELECT id, delivery_id, fingerprint, started_at FROM ${attempt} ${some} ORDER BY id DESC LIMIT ${readUpTo})`;
  const groups = `SELECT d.fingerprint, d.handler, COUNT(DISTINCT d.id) AS deliveries,
      COUNT(DISTINCT CASE WHEN d.state = 'discarded' THEN d.id END) AS discarded,
      MIN(a.started_at) AS first_at, MAX(a.started_at) AS last_at, MAX(a.id) AS latest
    FROM ${delivery} d JOIN ${event} e ON e.id = d.event_id
    JOIN ${readUpTo === undefined ? attempt : latest} a ON a.delivery_id = d.id AND a.fingerprint = d.fingerprint ${sql} GROUP BY d.fingerprint, d.handler`;
  return read(spark, page, new Conditions(parameters), {
    from: `(${groups}) g JOIN ${attempt} s ON s.id = g.latest`,
    columns: 'g.fingerprint, g.handler, g.deliveries, g.discarded, g.first_at, g.last_at, g.latest, s.error',
    order: ['g.latest'],
    isDescending: true,
    cursorOf: (row: ErrorRow) => [row.latest],
    recordOf: (row) => ({
      fingerprint: row.fingerprint,
      handler: row.handler,
      deliveries: Number(row.deliveries),
      discarded: Number(row.discarded),
      first: instant(row.first_at)!,
      last: instant(row.last_at)!,
      error: row.error,
    }),
  });
}
