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
  const { readUpTo } = page;
  const conditions = deliveryConditions(filter, of, spark.tables, readUpTo);
  conditions.add(true, `d.state IN ('available', 'discarded')`, {});
  const failures =
    readUpTo === undefined ? allFailures(spark, conditions) : latestFailures(spark, conditions, readUpTo);
  const groups = `SELECT f.fingerprint, f.handler, COUNT(DISTINCT f.delivery_id) AS deliveries,
      COUNT(DISTINCT CASE WHEN f.state = 'discarded' THEN f.delivery_id END) AS discarded,
      MIN(f.started_at) AS first_at, MAX(f.started_at) AS last_at, MAX(f.id) AS latest
    FROM (${failures}) f GROUP BY f.fingerprint, f.handler`;
  const error = `(SELECT s.error FROM ${spark.tables.attempt} s WHERE s.id = g.latest)`;
  return read(spark, page, new Conditions(conditions.parameters), {
    from: `(${groups}) g`,
    columns: `g.fingerprint, g.handler, g.deliveries, g.discarded, g.first_at, g.last_at, g.latest, ${error} AS error`,
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

/** All failed attempts of deliveries, with the handler and the state of these. */
function allFailures({ tables: { event, delivery, attempt } }: Inspected, { sql }: Conditions): string {
  return `SELECT a.id, a.delivery_id, a.fingerprint, a.started_at, d.handler, d.state
    FROM ${delivery} d JOIN ${event} e ON e.id = d.event_id
    JOIN ${attempt} a ON a.delivery_id = d.id AND a.fingerprint = d.fingerprint ${sql}`;
}

/** The same of the latest failed attempts. */
function latestFailures({ tables, dialect }: Inspected, { sql, parameters }: Conditions, most: number): string {
  const some = 'fingerprint' in parameters ? 'WHERE fingerprint = :fingerprint' : '';
  const latest = `SELECT id, delivery_id, fingerprint, started_at FROM ${tables.attempt} ${some} ORDER BY id DESC LIMIT ${most}`;
  const deliveries = dialect.lookedUp(tables.delivery, 'd', 'a.delivery_id');
  const events = /\be\.\w/.test(sql) ? dialect.lookedUp(tables.event, 'e', 'd.event_id') : '';
  return `SELECT a.id, a.delivery_id, a.fingerprint, a.started_at, d.handler, d.state
    FROM (${latest}) a ${deliveries} ${events} ${sql} AND d.fingerprint = a.fingerprint`;
}
