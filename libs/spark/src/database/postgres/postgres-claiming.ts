import type { EntityManager } from 'typeorm';
import type { Queue } from '../claim-queues.js';
import { SET } from '../delivery-columns.js';
import type { Claimed, ClaimedRow, ClaimRequest, FoundQueue } from '../dialect.js';
import { entryColumns } from '../event-columns.js';
import { raw } from '../statement.js';
import type { TableNames } from '../table-names.js';
import { arrayOf } from './postgres-entering.js';

/**
 * The statements of PostgreSQL that find queues and claim from them. They are planned each time: a plan that was made while the table was
 * empty would read the whole table for each queue.
 */
export class PostgresClaiming {
  constructor(private readonly tables: TableNames) {}

  async queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]> {
    // Each step of the recursion is a lookup in the index for the next queue of a handler.
    const next = (handler: string, after = '') => `SELECT ${handler} AS handler, d.suspect, d.priority
      FROM ${this.tables.delivery} d WHERE d.state = 'available' AND d.handler = ${handler} ${after}
      ORDER BY d.suspect, d.priority LIMIT 1`;
    const sql = `WITH RECURSIVE queue AS (
        SELECT q.* FROM unnest($1::text[]) AS h(name) CROSS JOIN LATERAL (${next('h.name')}) q
        UNION ALL SELECT q.* FROM queue p CROSS JOIN LATERAL (
          ${next('p.handler', 'AND (d.suspect, d.priority) > (p.suspect, p.priority)')}) q)
      SELECT handler, suspect, priority FROM queue`;
    const rows = await raw<Queue & { suspect: number }>(manager, sql, [arrayOf(handlers)]);
    return rows.map(({ suspect, ...queue }) => ({ ...queue, suspect: suspect === 1 }));
  }

  async claim(manager: EntityManager, request: ClaimRequest): Promise<Claimed> {
    const { worker, queues, limit, connections, now, suspect, passed } = request;
    const { delivery, event, pause } = this.tables;
    const others = passed.length > 0 ? 'AND id <> ALL($11::bigint[])' : '';
    // The database reads the queues one by one, and locks only deliveries that it has read: after the limit is reached it reads no more.
    // The UPDATE finds the rows by ctid, which costs least; the lock keeps them in place. The commit of a claim does not wait for the
    // disk: if a crash of the server undoes it, the deliveries are available again. The claim of a suspect waits for the disk.
    const rows = await raw<ClaimedRow & { found: number }>(
      manager,
      `WITH queue AS MATERIALIZED (
         SELECT * FROM unnest($6::text[], $7::int[], $8::int[], $9::int[], $10::boolean[])
           WITH ORDINALITY AS q(handler, priority, handler_no, room, connects, n)
         WHERE handler NOT IN (SELECT handler FROM ${pause})),
       found AS MATERIALIZED (
         SELECT d.*, q.n, q.handler_no, q.room, q.connects FROM queue q CROSS JOIN LATERAL (
           SELECT ctid AS place, due_at, id FROM ${delivery}
           WHERE state = 'available' AND handler = q.handler AND suspect = $2 AND priority = q.priority AND due_at <= $1 ${others}
           ORDER BY due_at, id LIMIT q.room FOR UPDATE SKIP LOCKED) d
         LIMIT $3),
       due AS MATERIALIZED (
         SELECT place, n FROM (
           SELECT f.*, row_number() OVER (PARTITION BY handler_no ORDER BY n, due_at, id) AS nth,
             SUM(CAST(connects AS int)) OVER (ORDER BY n, due_at, id) AS connected FROM found f) f
         WHERE nth <= room AND (NOT connects OR connected <= $4)),
       claimed AS (
         UPDATE ${delivery} d SET ${SET.claimed('$5', '$1')}
         WHERE d.ctid = ANY(ARRAY(SELECT place FROM due)) AND (SELECT $2 = 1 OR set_config('synchronous_commit', 'off', true) = 'off')
         RETURNING d.id, d.event_id, d.handler, d.attempt, d.priority, d.due_at)
       SELECT c.id, c.handler, c.attempt, ${entryColumns('e')}, (SELECT COUNT(*) FROM found) AS found
       FROM claimed c JOIN queue q USING (handler, priority)
       CROSS JOIN LATERAL (SELECT * FROM ${event} e WHERE e.id = c.event_id OFFSET 0) e
       ORDER BY q.n, c.due_at, c.id`,
      [
        now,
        Number(suspect),
        limit,
        connections,
        worker,
        arrayOf(queues.map(({ handler }) => handler)),
        arrayOf(queues.map(({ priority }) => priority)),
        arrayOf(queues.map(({ of }) => of)),
        arrayOf(queues.map(({ room }) => room)),
        arrayOf(queues.map(({ connects }) => connects)),
        ...(passed.length > 0 ? [passed] : []),
      ],
    );
    return { rows, isMore: Number(rows[0]?.found ?? 0) >= limit };
  }
}
