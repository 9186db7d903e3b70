import type { EntityManager } from 'typeorm';
import { claimRead, dispatchRead, LOCKED_COLUMNS, type LockedRow } from '../claim-complete.js';
import { ClaimRoom, type FoundQueue, type OpenQueue, queueFrom, type QueueRow } from '../claim-queues.js';
import type { Claimed, ClaimRequest, Dispatched } from '../dialect.js';
import { raw, select } from '../statement.js';
import type { TableNames } from '../table-names.js';

/** Lets a statement find rows by the primary key, however few rows the table has. */
export const BY_KEY = 'FORCE INDEX (PRIMARY)';

/** Lets a statement read deliveries by the index of queues. For some conditions, the optimizer would choose another one. */
export const byQueueOf = ({ plain }: TableNames): string =>
  `FORCE INDEX (${plain.delivery.split('.').at(-1)!}_partition)`;

/** The statements of MariaDB and MySQL that find queues and claim from them. */
export class MysqlClaiming {
  private readonly byQueue: string;

  constructor(private readonly tables: TableNames) {
    this.byQueue = byQueueOf(tables);
  }

  async queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]> {
    const { byQueue } = this;
    const { delivery } = this.tables;
    // With all columns of the index in the GROUP BY, the state too, the database skips from one queue to the next.
    const rows = await select<QueueRow>(
      manager,
      `SELECT q.*, (SELECT d.id FROM ${delivery} d ${byQueue} WHERE d.state = 'available' AND d.handler = q.handler AND d.suspect = q.suspect
         AND d.priority = q.priority AND d.partition_key = q.partition_key AND d.due_at = q.due_at ORDER BY d.id LIMIT 1) AS id
       FROM (SELECT handler, suspect, priority, partition_key, MIN(due_at) AS due_at FROM ${delivery} ${byQueue}
         WHERE state = 'available' AND handler IN (:...handlers) GROUP BY state, handler, suspect, priority, partition_key) q`,
      { handlers },
    );
    return rows.map(queueFrom);
  }

  async handlersAwaited(manager: EntityManager): Promise<string[]> {
    const { byQueue, tables } = this;
    const sql = `SELECT handler FROM ${tables.delivery} ${byQueue} WHERE state = 'available' GROUP BY state, handler`;
    return (await raw<{ handler: string }>(manager, sql, [])).map(({ handler }) => handler);
  }

  async waiting<Q extends OpenQueue>(manager: EntityManager, request: ClaimRequest<Q>): Promise<readonly Q[]> {
    const { queues } = request;
    const room = new ClaimRoom(request);
    const counts = queues.map((queue, i) => {
      const { sql, parameters } = this.due(request, queue);
      const count = `SELECT ${i} AS n, COUNT(*) AS due FROM (SELECT 1 FROM ${sql} LIMIT ?) d`;
      return { count, parameters: [...parameters, room.in(queue)] };
    });
    const rows = await raw<{ n: number | string; due: number | string }>(
      manager,
      counts.map(({ count }) => count).join(' UNION ALL '),
      counts.flatMap(({ parameters }) => parameters),
    );
    const due = new Map(rows.map((row) => [Number(row.n), Number(row.due)]));
    // A locking read that finds fewer rows than its limit locks the first row of the next queue, too.
    return queues.map((queue, i) => ({ ...queue, most: due.get(i)! })).filter(({ most }) => most > 0);
  }

  async claim(manager: EntityManager, request: ClaimRequest): Promise<Claimed> {
    const { rows, isMore } = await this.lock(manager, request);
    return { rows: await claimRead(manager, this.tables, request, rows, BY_KEY), isMore };
  }

  async dispatch(manager: EntityManager, request: ClaimRequest, due: number): Promise<Dispatched> {
    const locked = await this.lock(manager, request);
    return dispatchRead(manager, this.tables, request.worker, due, locked, BY_KEY);
  }

  /** Reads and locks due deliveries of the queues. */
  private async lock(manager: EntityManager, request: ClaimRequest): Promise<{ rows: LockedRow[]; isMore: boolean }> {
    const { queues } = request;
    const room = new ClaimRoom(request);
    const rows: LockedRow[] = [];
    for (const queue of queues) {
      const most = room.in(queue);
      if (most <= 0) continue;
      const { sql, parameters } = this.due(request, queue);
      const due = `SELECT ${LOCKED_COLUMNS} FROM ${sql} ORDER BY due_at, id LIMIT ? FOR UPDATE SKIP LOCKED`;
      const some = await raw<LockedRow>(manager, due, [...parameters, most]);
      room.take(queue, some.length);
      rows.push(...some);
    }
    return { rows, isMore: room.isFull };
  }

  /** The due deliveries of a queue: SQL that follows FROM, and its parameters. */
  private due({ now, suspect, passed }: ClaimRequest, { handler, priority, partition, from, fromId }: OpenQueue) {
    const { delivery, pause } = this.tables;
    const others = passed.length > 0 ? 'AND id NOT IN (?)' : '';
    const sql = `${delivery} ${this.byQueue} WHERE state = 'available' AND handler = ? AND suspect = ? AND priority = ? AND partition_key = ?
      AND (due_at = ? AND id >= ? OR due_at > ?) AND due_at <= ? ${others}
      AND NOT EXISTS (SELECT 1 FROM ${pause} p WHERE p.handler = ?)`;
    const parameters = [
      handler,
      Number(suspect),
      priority,
      partition,
      from,
      fromId,
      from,
      now,
      ...(passed.length > 0 ? [passed] : []),
      handler,
    ];
    return { sql, parameters };
  }
}
