import type { EntityManager } from 'typeorm';
import { type FoundQueue, queueFrom, type QueueRow } from '../claim-queues.js';
import { SET } from '../delivery-columns.js';
import type { Claimed, ClaimedRow, ClaimRequest, Dispatched, TakeOver } from '../dialect.js';
import { ENTRY, entryColumns, entryFromTexts } from '../event-columns.js';
import { prepared, preparedTexts, raw, type Texts } from '../statement.js';
import type { TableNames } from '../table-names.js';
import { arrayOf } from './postgres-entering.js';

/** What was found, as far as the rooms of its handlers and the connections reach. */
const withinRooms = (connections: string) => `(
  SELECT f.*, row_number() OVER (PARTITION BY handler_no ORDER BY n, due_at, id) AS nth,
    SUM(CAST(connects AS int)) OVER (ORDER BY n, due_at, id) AS connected FROM found f) f
  WHERE nth <= room AND (NOT connects OR connected <= CAST(${connections} AS int))`;

/** Lets the commit of this transaction not wait for the disk. It is always true. */
const LAZY_COMMIT = `set_config('synchronous_commit', 'off', true) = 'off'`;

/** The statements of PostgreSQL that find queues and claim from them. */
export class PostgresClaiming {
  /** How large the table was at the last look: the logarithm of its size. */
  private size = 0;

  constructor(
    private readonly tables: TableNames,
    private readonly prepare: boolean,
  ) {}

  async queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]> {
    // Each step of the recursion is a lookup in the index for the next queue of a handler.
    const { delivery } = this.tables;
    const next = (
      handler: string,
      after = '',
    ) => `SELECT ${handler} AS handler, d.suspect, d.priority, d.partition_key, d.due_at, d.id
      FROM ${delivery} d WHERE d.state = 'available' AND d.handler = ${handler} ${after}
      ORDER BY d.suspect, d.priority, d.partition_key, d.due_at, d.id LIMIT 1`;
    const sql = `WITH RECURSIVE queue AS (
        SELECT q.* FROM unnest($1::text[]) AS h(name) CROSS JOIN LATERAL (${next('h.name')}) q
        UNION ALL SELECT q.* FROM queue p CROSS JOIN LATERAL (
          ${next('p.handler', 'AND (d.suspect, d.priority, d.partition_key) > (p.suspect, p.priority, p.partition_key)')}) q)
      SELECT s.size, queue.* FROM (SELECT pg_relation_size(CAST($2 AS regclass)) AS size) s LEFT JOIN queue ON true`;
    const rows = await raw<QueueRow & { size: string }>(manager, sql, [arrayOf(handlers), delivery]);
    this.size = Math.floor(Math.log2(Number(rows[0]!.size) + 1) / 2);
    return rows.filter(({ handler }) => handler !== null).map(queueFrom);
  }

  async handlersAwaited(manager: EntityManager): Promise<string[]> {
    const next = (
      after: string,
    ) => `SELECT d.handler FROM ${this.tables.delivery} d WHERE d.state = 'available' ${after}
      ORDER BY d.handler LIMIT 1`;
    const sql = `WITH RECURSIVE awaited AS (
        (${next('')}) UNION ALL SELECT q.* FROM awaited a CROSS JOIN LATERAL (${next('AND d.handler > a.handler')}) q)
      SELECT handler FROM awaited`;
    return (await raw<{ handler: string }>(manager, sql, [])).map(({ handler }) => handler);
  }

  async claim(manager: EntityManager, request: ClaimRequest): Promise<Claimed> {
    const { event, delivery } = this.tables;
    const { sql, name, parameters } = this.change(
      'claim',
      request,
      request.durable,
      `claimed AS (
         UPDATE ${delivery} d SET ${SET.claimed('$4', '$1')}
         WHERE d.ctid = ANY(ARRAY(SELECT place FROM due)) AND (SELECT $5 OR ${LAZY_COMMIT})
         RETURNING d.id, d.event_id, d.handler, d.attempt, d.priority, d.partition_key, d.due_at)
       SELECT ${entryColumns('e')}, c.id, c.event_id, c.attempt, c.due_at, e.recorded_at, q.n, (SELECT COUNT(*) FROM found)
       FROM claimed c JOIN queue q USING (handler, priority, partition_key)
       CROSS JOIN LATERAL (SELECT * FROM ${event} e WHERE e.id = c.event_id OFFSET 0) e
       ORDER BY q.n, c.due_at, c.id`,
    );
    // The commit of a claim does not wait for the disk, unless it is durable: if a crash of the server undoes it, the deliveries are
    // available again.
    const rows = await preparedTexts(manager, name, sql, parameters);
    const claimed = rows.map((row) => {
      // The queue says its handler and its partition, so that not each row holds texts of its own for them.
      const { handler, partition } = request.queues[Number(row[OWN + 5]) - 1]!;
      return claimedFrom(row, handler, partition);
    });
    return { rows: claimed, isMore: Number(rows[0]?.at(-1) ?? 0) >= request.limit };
  }

  async dispatch(manager: EntityManager, request: ClaimRequest, due: number): Promise<Dispatched> {
    const { sql, name, parameters } = this.change(
      'dispatch',
      request,
      due,
      `dispatched AS (
         UPDATE ${this.tables.delivery} d SET ${SET.dispatched('$4', '$5')}
         WHERE d.ctid = ANY(ARRAY(SELECT place FROM due)) AND (SELECT ${LAZY_COMMIT})
         RETURNING d.id, d.handler, d.priority, d.partition_key)
       SELECT c.id, CAST(q.n AS int) AS n, (SELECT CAST(COUNT(*) AS int) FROM found) AS found
       FROM dispatched c JOIN queue q USING (handler, priority, partition_key) ORDER BY q.n, c.id`,
    );
    const rows = await prepared<{ id: string; n: number; found: number }>(manager, name, sql, parameters);
    const dispatched = rows.map(({ id, n }) => {
      const { handler, partition, priority } = request.queues[n - 1]!;
      return { id, handler, partition_key: partition, priority };
    });
    return { rows: dispatched, isMore: (rows[0]?.found ?? 0) >= request.limit };
  }

  /** Takes deliveries over that are on their way. The lock keeps them in place, so that the UPDATE finds them by ctid. */
  async takeOver(manager: EntityManager, { worker, now, ttl, ids }: TakeOver): Promise<ClaimedRow[]> {
    const { delivery, event, pause } = this.tables;
    const rows = await preparedTexts(
      manager,
      this.prepare ? `spark-take-over-${this.size}` : undefined,
      `WITH arrived AS MATERIALIZED (
         SELECT ctid AS place FROM ${delivery} WHERE id = ANY($3::bigint[]) AND COALESCE(state, '') = 'available'
           AND claimed_by IS NOT NULL AND handler NOT IN (SELECT handler FROM ${pause}) ORDER BY id FOR UPDATE SKIP LOCKED),
       taken AS (
         UPDATE ${delivery} d SET ${SET.takenOver('$2', '$1', '$4')}
         WHERE d.ctid = ANY(ARRAY(SELECT place FROM arrived)) AND (SELECT ${LAZY_COMMIT})
         RETURNING d.id, d.event_id, d.handler, d.attempt, d.partition_key, d.due_at)
       SELECT ${entryColumns('e')}, c.id, c.event_id, c.attempt, c.due_at, e.recorded_at, c.handler, c.partition_key
       FROM taken c CROSS JOIN LATERAL (SELECT * FROM ${event} e WHERE e.id = c.event_id OFFSET 0) e ORDER BY c.id`,
      [now, worker, arrayOf(ids), ttl],
    );
    return rows.map((row) => claimedFrom(row, row[OWN + 5]!, row[OWN + 6]!));
  }

  /**
   * The statement that changes due deliveries of the queues. `sql` is a statement behind the queues (`queue`), what was found in them (`found`) and what
   * of that is changed (`due`). It has the parameters $1, the instant, $4, the worker, and $5, which is `given`.
   */
  private change(what: string, request: ClaimRequest, given: unknown, sql: string) {
    const { worker, queues, limit, connections, now, suspect, passed } = request;
    const others = passed.length > 0 ? 'AND id <> ALL($15::bigint[])' : '';
    const isShared = mayExceed(queues, connections);
    // A plan that was made for a small table reads all rows of a large one, so the name depends on the size of the table.
    const kind = `${others && '-others'}${isShared ? '-shared' : ''}`;
    const name = this.prepare ? `spark-${what}-${this.size}${kind}` : undefined;
    const parameters = [
      now,
      Number(suspect),
      limit,
      worker,
      given,
      arrayOf(queues.map(({ handler }) => handler)),
      arrayOf(queues.map(({ priority }) => priority)),
      arrayOf(queues.map(({ partition }) => partition)),
      arrayOf(queues.map(({ from }) => from)),
      arrayOf(queues.map(({ fromId }) => fromId)),
      arrayOf(queues.map(({ of }) => of)),
      arrayOf(queues.map(({ room }) => room)),
      arrayOf(queues.map(({ room, most = room }) => most)),
      arrayOf(queues.map(({ connects }) => connects)),
      ...(others ? [passed] : []),
      ...(isShared ? [connections] : []),
    ];
    return { sql: `${this.dueSql(others, isShared)}, ${sql}`, name, parameters };
  }

  // The database reads the queues one by one, and locks only deliveries that it has read: after the limit is reached it reads no more.
  // The UPDATE finds the rows by ctid, which costs least; the lock keeps them in place.
  private dueSql(others: string, isShared: boolean): string {
    const { delivery, pause } = this.tables;
    return `WITH queue AS MATERIALIZED (
         SELECT * FROM unnest($6::text[], $7::int[], $8::text[], $9::bigint[], $10::bigint[], $11::int[], $12::int[], $13::int[], $14::boolean[])
           WITH ORDINALITY AS q(handler, priority, partition_key, since, since_id, handler_no, room, most, connects, n)
         WHERE handler NOT IN (SELECT handler FROM ${pause})),
       found AS MATERIALIZED (
         SELECT d.*, q.n, q.handler_no, q.room, q.connects FROM queue q CROSS JOIN LATERAL (
           SELECT ctid AS place, due_at, id FROM ${delivery}
           WHERE state = 'available' AND handler = q.handler AND suspect = $2 AND priority = q.priority
             AND partition_key = q.partition_key AND (due_at, id) >= (q.since, q.since_id) AND due_at <= $1 ${others}
           ORDER BY due_at, id LIMIT q.most FOR UPDATE SKIP LOCKED) d
         LIMIT $3),
       due AS MATERIALIZED (
         SELECT place FROM ${isShared ? withinRooms(others ? '$16' : '$15') : 'found'})`;
  }
}

/** Whether queues may give more deliveries than their handlers have room for, or transactional handlers have connections. */
function mayExceed(queues: ClaimRequest['queues'], connections: number): boolean {
  const left = new Map<number, number>();
  let free = connections;
  for (const { of, room, most = room, connects } of queues) {
    left.set(of, (left.get(of) ?? room) - most);
    if (connects) free -= most;
  }
  return free < 0 || [...left.values()].some((rooms) => rooms < 0);
}

/** How many columns of the event a claimed row begins with. */
const OWN = ENTRY.length;

/** Reads a row that begins with an event and five columns of its delivery. A spread of objects would cost more than all the rest. */
function claimedFrom(row: Texts, handler: string, partition: string): ClaimedRow {
  return {
    id: row[OWN]!,
    event_id: row[OWN + 1]!,
    handler,
    partition_key: partition,
    attempt: Number(row[OWN + 2]),
    due_at: row[OWN + 3]!,
    recorded_at: row[OWN + 4]!,
    event: entryFromTexts(row),
  };
}
