import type { EntityManager } from 'typeorm';
import { countsOf, DISCARDED, type DiscardedRequest, type DiscardedRow } from '../latest-discarded.js';
import { select } from '../statement.js';
import type { TableNames } from '../table-names.js';
import { byQueueOf } from './mysql-claiming.js';

interface Queue {
  readonly handler: string;
  readonly suspect: number;
  readonly priority: number;
  readonly partition_key: string;
}

const KEY = ['handler', 'suspect', 'priority', 'partition_key'] as const;
/** How many queues are read: those whose last attempts were latest. */
const QUEUES = 50;

/**
 * Counts the latest discarded deliveries by handler. MariaDB and MySQL have no index of discarded deliveries alone. In the index of queues,
 * discarded deliveries of a queue lie in the order of their last attempts.
 */
export async function discardedByQueue(
  manager: EntityManager,
  tables: TableNames,
  { most, ...request }: DiscardedRequest,
): Promise<Map<string, number>> {
  const from = `${tables.delivery} ${byQueueOf(tables)} WHERE state = 'discarded'`;
  const columns = KEY.join(', ');
  // With all columns of the index in the GROUP BY, the state too, the database skips from one queue to the next.
  const queues = await select<Queue>(
    manager,
    `SELECT ${columns} FROM (SELECT ${columns}, MAX(due_at) AS latest FROM ${from} GROUP BY state, ${columns}) q
     ORDER BY latest DESC LIMIT ${QUEUES}`,
  );
  if (queues.length === 0) return new Map();
  const parameters: Record<string, unknown> = { ...request };
  const each = Math.ceil(most / queues.length);
  const latest = queues.map((queue, i) => {
    for (const column of KEY) parameters[`${column}_${i}`] = queue[column];
    const own = KEY.map((column) => `${column} = :${column}_${i}`).join(' AND ');
    return `(SELECT state, handler, finished_at, last_error FROM ${from} AND ${own} ORDER BY due_at DESC, id DESC LIMIT ${each})`;
  });
  const counted = `SELECT handler, COUNT(*) AS n FROM (${latest.join(' UNION ALL ')}) d WHERE ${DISCARDED} GROUP BY handler`;
  return countsOf(await select<DiscardedRow>(manager, counted, parameters));
}
