import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { DataSource } from 'typeorm';
import type { Peer } from '../peers/peer.js';
import { DELIVERY, EVENT, makeTables, OPENED } from './ledger.js';

const MOST = 500;
const PAUSE = 5;

/**
 * The least that hands events on durably: by hand, through the raw driver, with neither leases, retries nor contexts. It
 * writes the same rows to the same tables as Spark, claims them in batches, and removes what is done.
 */
export async function handWrittenQueue(url: string): Promise<Peer> {
  const dataSource = await new DataSource({ type: 'postgres', url }).initialize();
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  let working: Promise<unknown> = Promise.resolve();
  const ending = new AbortController();

  const enter = (keys: string[]) => ({
    name: 'byHandLedger-enter',
    text: `WITH fresh AS (
        INSERT INTO hand_event (${EVENT}) SELECT 'order_' || k, 'order', 'Order', k, 'OneEvent.events', 0, $2::bigint
        FROM unnest($1::text[]) AS t(k) ON CONFLICT DO NOTHING RETURNING id)
      INSERT INTO hand_delivery (${DELIVERY}) SELECT id, ${OPENED}, $2 FROM fresh`,
    values: [keys, Date.now()],
  });
  const claim = () => ({
    name: 'byHandLedger-claim',
    text: `WITH due AS MATERIALIZED (
        SELECT ctid AS place FROM hand_delivery
        WHERE state = 'available' AND handler = 'orders' AND suspect = 0 AND priority = 0 AND partition_key = '' AND due_at <= $1
        ORDER BY due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED),
      claimed AS (
        UPDATE hand_delivery d SET state = 'running', attempt = 1, claimed_by = '1', started_at = $1
        WHERE d.ctid = ANY(ARRAY(SELECT place FROM due)) RETURNING d.id, d.event_id)
      SELECT c.id, e.entity_id FROM claimed c
        CROSS JOIN LATERAL (SELECT entity_id FROM hand_event e WHERE e.id = c.event_id OFFSET 0) e`,
    values: [Date.now(), MOST],
  });
  const remove = (ids: string[]) => ({
    name: 'byHandLedger-remove',
    text: `DELETE FROM hand_delivery WHERE id = ANY($1::bigint[]) AND state || '' = 'running'`,
    values: [ids],
  });

  async function work(handled: (job: number) => void): Promise<void> {
    let removing: Promise<unknown> = Promise.resolve();
    while (!ending.signal.aborted) {
      const { rows } = await pool.query<{ id: string; entity_id: string }>(claim());
      for (const row of rows) handled(Number(row.entity_id));
      await removing;
      if (rows.length > 0) removing = pool.query(remove(rows.map(({ id }) => id)));
      if (rows.length < MOST) await delay(PAUSE);
    }
    await removing;
  }

  return {
    async reset() {
      await makeTables(dataSource);
      await pool.query('TRUNCATE hand_event, hand_delivery');
    },
    async fill(count) {
      const keys = Array.from({ length: count }, (_, key) => String(key));
      await pool.query(enter(keys));
      await pool.query('VACUUM ANALYZE hand_delivery');
      await pool.query('VACUUM ANALYZE hand_event');
    },
    async work(handled) {
      working = work(handled);
    },
    async add(job, client = pool) {
      const { name, text, values } = enter([String(job)]);
      await (client as pg.Pool).query({ name, text, values });
    },
    async close() {
      ending.abort();
      await working;
      await pool.end();
      await dataSource.destroy();
    },
  };
}
