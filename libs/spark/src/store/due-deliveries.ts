import type { EntityManager } from 'typeorm';
import type { OpenQueue } from '../database/claim-queues.js';
import type { ClaimRequest } from '../database/dialect.js';
import { select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';

/** What a read of due deliveries has in common with a claim. */
export type DueRequest = Pick<ClaimRequest, 'now' | 'passed'>;

/** The condition that a delivery `d` is not one of some, to be added to others. */
export const notPassed = (passed: readonly string[]): string =>
  passed.length > 0 ? 'AND d.id NOT IN (:...passed)' : '';

/** The condition that a delivery `d` is due in a queue, and its parameters. */
export function dueIn({ pause }: TableNames, queue: OpenQueue, { now, passed }: DueRequest) {
  const { handler, priority, partition, from } = queue;
  const sql = `d.state = 'available' AND d.handler = :handler AND d.suspect = 0 AND d.priority = :priority
    AND d.partition_key = :partition AND d.due_at >= :from AND d.due_at <= :now ${notPassed(passed)}
    AND NOT EXISTS (SELECT 1 FROM ${pause} p WHERE p.handler = :handler)`;
  return { sql, parameters: { handler, priority, partition, from, now, passed } };
}

/** How many deliveries are due in some queues, counted up to `most`, and since when the first is, in epoch ms. It locks nothing. */
export async function countDue(
  manager: EntityManager,
  tables: TableNames,
  queues: readonly OpenQueue[],
  request: DueRequest,
  most: number,
): Promise<{ count: number; since: number }> {
  let [count, since] = [0, Infinity];
  for (const queue of queues) {
    const { sql, parameters } = dueIn(tables, queue, request);
    const due = `SELECT d.due_at FROM ${tables.delivery} d WHERE ${sql} ORDER BY d.due_at LIMIT ${most}`;
    const [row] = await select<{ n: string; since: string | null }>(
      manager,
      `SELECT COUNT(*) AS n, MIN(due_at) AS since FROM (${due}) q`,
      parameters,
    );
    count += Number(row!.n);
    if (row!.since !== null) since = Math.min(since, Number(row!.since));
  }
  return { count, since };
}
