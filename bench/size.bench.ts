import 'reflect-metadata';
import { parseArgs } from 'node:util';
import type { DataSource } from 'typeorm';
import { application } from './application.js';
import { figure, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { Order, ThreeEvents } from './entities.js';
import { runBench } from './results.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 10_000_000);
const BATCH = 1_000_000;

/** How many bytes an event with one completed delivery takes, table by table and index by index. */
async function size(db: DatabaseName): Promise<Row[]> {
  const { dataSource, close } = await application(db, [Order], [ThreeEvents], { worker: false });
  try {
    for (let done = 0; done < EVENTS; done += BATCH) await fill(dataSource, done, Math.min(BATCH, EVENTS - done));
    await dataSource.query('VACUUM ANALYZE');
    const rows = (await dataSource.query(
      `SELECT CASE WHEN i.indisprimary THEN t.relname || ', its primary key' ELSE r.relname END AS name,
         pg_relation_size(r.oid) + COALESCE(pg_relation_size(r.reltoastrelid), 0) AS bytes
       FROM pg_class t
       CROSS JOIN LATERAL (SELECT t.oid, false AS indisprimary UNION ALL SELECT indexrelid, indisprimary FROM pg_index WHERE indrelid = t.oid) i
       JOIN pg_class r ON r.oid = i.oid
       WHERE t.relname IN ('spark_event', 'spark_delivery') ORDER BY t.relname DESC, r.relkind DESC, bytes DESC`,
    )) as { name: string; bytes: string }[];
    const all = { name: 'all of it', bytes: rows.reduce((sum, { bytes }) => sum + Number(bytes), 0) };
    return [...rows, all].map(({ name, bytes }) => {
      const work = `${EVENTS} events: ${name}`;
      const median = Number(bytes) / EVENTS;
      return figure({ bench: 'size', work, db, ratio: 'bytes an event', median, target: null });
    });
  } finally {
    await close();
  }
}

/** As sources and workers write them: three groups, a context that refers to the entity, a completed delivery. */
async function fill(dataSource: DataSource, done: number, count: number): Promise<void> {
  const recorded = Date.now() - 86_400_000;
  await dataSource.query(
    `WITH fresh AS (
       INSERT INTO spark_event (event_key, event_group, entity, entity_id, source, context, depth, recorded_at)
       SELECT g || '_' || n / 3, g, 'Order', (n / 3)::text, 'ThreeEvents.events',
         '{"json":{"order":["Order","' || n / 3 || '"]},"meta":{"values":{"order":[["custom","entity"]]}}}', 0, $3::bigint + n
       FROM (SELECT n, (ARRAY['order_created', 'order_paid', 'order_shipped'])[1 + n % 3] AS g
             FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) n) x RETURNING id, recorded_at)
     INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at, claimed_by, started_at, finished_at, duration_ms)
     SELECT id, 'orders', 'completed', 1, 0, 0, recorded_at, '00000000-0000-4000-8000-000000000000', recorded_at, recorded_at + 9, 9
     FROM fresh`,
    [done, count, recorded],
  );
}

await runBench(['postgres'], size);
