import type { DataSource } from 'typeorm';

/** The time between two events, in milliseconds. */
const STEP = 600;

/**
 * Fills the tables of a new database on PostgreSQL with events, each with a delivery and every tenth led to by the one before. Of forty
 * deliveries one is discarded, after an error of one of twenty kinds; 12,000 are held; the first 200 and the last 2,000 wait; 20 run. Few events have
 * the group `rare`, the source `rare-source`, or a delivery to `rare-handler`.
 */
export async function fillLargeTables(dataSource: DataSource, events: number): Promise<void> {
  const now = Date.now();
  const held = `n BETWEEN ${events / 2} AND ${events / 2 + 11_999}`;
  const waits = `n <= 200 OR n > ${events - 2_000}`;
  const numbers = `generate_series(1::bigint, ${events}::bigint) n`;
  const at = `${now} - (${events} - n) * ${STEP}`;
  const statements = [
    `INSERT INTO spark_event (id, event_key, event_group, entity, entity_id, source, context, depth, recorded_at, caused_by)
     SELECT n, CASE WHEN n % 50000 = 7 THEN 'rare_' ELSE 'parcel_sent_' END || n,
       CASE WHEN n % 50000 = 7 THEN 'rare' ELSE (ARRAY['parcel_sent', 'parcel_due', 'parcel_lost'])[1 + n % 3] END,
       'parcel', (n / 3)::text, CASE WHEN n % 40000 = 3 THEN 'rare-source' ELSE 'parcels' END,
       '{"json":{"sender":"Ada ' || n || '","weight":12}}', CASE WHEN n % 10 = 0 THEN 1 ELSE 0 END, ${at},
       CASE WHEN n % 10 = 0 THEN n - 1 END
     FROM ${numbers}`,
    `INSERT INTO spark_delivery (id, event_id, handler, state, attempt, priority, suspect, due_at, claimed_by, started_at, finished_at, duration_ms,
       last_error, fingerprint)
     SELECT n, n, CASE WHEN n % 50000 = 11 THEN 'rare-handler' WHEN n % 2 = 0 THEN 'mails' ELSE 'labels' END, state,
       CASE WHEN state IN ('held', 'available') THEN 0 ELSE 1 END, 0, 0, ${at}, CASE WHEN state IN ('completed', 'running') THEN 'worker' END,
       CASE WHEN state <> 'held' THEN ${at} END, CASE WHEN state IN ('completed', 'discarded') THEN ${at} + 9 END,
       CASE WHEN state = 'completed' THEN 9 END,
       CASE WHEN state = 'discarded' THEN 'Error: no server ' || n / 40 % 20 END,
       CASE WHEN state = 'discarded' THEN lpad(to_hex(n / 40 % 20), 16, '0') END
     FROM (SELECT n, CASE WHEN ${held} THEN 'held' WHEN ${waits} THEN 'available' WHEN n > ${events - 2_020} THEN 'running'
       WHEN n % 40 = 1 THEN 'discarded' ELSE 'completed' END AS state FROM ${numbers}) d`,
    `INSERT INTO spark_attempt (delivery_id, attempt, host, pid, started_at, duration_ms, error, fingerprint)
     SELECT id, 1, 'host', 1, started_at, 5, last_error || repeat(E'\\n    at somewhere', 20), fingerprint
     FROM spark_delivery WHERE state = 'discarded' ORDER BY id`,
    `INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth)
     SELECT 'parcel', n::text, ${now} + n * 1000, 0, 0 FROM generate_series(1, 50000) n`,
    `INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES ('worker', ${now} + 3600000, 'host', 1, ${now})`,
    ...['event', 'delivery'].map((table) => `SELECT setval('spark_${table}_id_seq', ${events})`),
    'VACUUM ANALYZE',
  ];
  for (const statement of statements) await dataSource.query(statement);
}

/** The pages of the dashboard, and what they lead to, on tables of so many events. */
export function pagesOfLargeTables(events: number): string[] {
  const from = new Date(Date.now() - events * STEP * 0.8);
  const day = (hours: number) => new Date(from.getTime() + hours * 3_600_000).toISOString().slice(0, 16);
  const times = `from=${day(0)}&to=${day(2)}`;
  const some = [
    '',
    'errors',
    'errors?handler=mails',
    'held',
    'sweeps',
    'handlers',
    'workers',
    'rechecks',
    'rechecks?entity=Parcel',
    'entity?type=Parcel&id=1000',
    `event?key=parcel_sent_${events / 2 - 1}`,
    `delivery?id=${events / 2}`,
  ];
  const ofEvents = [
    '',
    'group=parcel_sent',
    'group=rare',
    'source=rare-source',
    'keyPrefix=rare_',
    'keyPrefix=parcel_',
  ];
  ofEvents.push('entity=Parcel', 'entity=Parcel&id=1000', times, `to=${day(1)}&group=rare`, `after=${events / 2}`);
  const ofDeliveries = ['held', 'available', 'running', 'discarded', 'completed'].map((state) => `state=${state}`);
  ofDeliveries.push(
    'handler=labels',
    'handler=rare-handler',
    'state=available&handler=labels',
    'state=discarded&group=rare',
    'state=held&source=rare-source',
    'state=completed&group=rare',
    'state=discarded&handler=mails',
  );
  ofDeliveries.push('error=server', 'error=nowhere', 'state=discarded&error=nowhere', 'fingerprint=0000000000000001');
  return [
    ...some,
    ...ofEvents.map((search) => `events?${search}`),
    ...[...ofEvents.slice(0, -1), ...ofDeliveries].map((search) => `deliveries?${search}`),
  ];
}
