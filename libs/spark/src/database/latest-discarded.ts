import type { EntityManager } from 'typeorm';
import { select } from './statement.js';
import type { TableNames } from './table-names.js';

/** Which discarded deliveries are counted. */
export interface DiscardedRequest {
  /** The first instant, in epoch ms. */
  readonly since: number;
  /** The reasons of deliveries that do not count. */
  readonly except: readonly string[];
  /** About how many of the latest ones are read. */
  readonly most: number;
}

/** A row of the count. */
export interface DiscardedRow {
  readonly handler: string;
  readonly n: number | string;
}

/** SQL after WHERE for the deliveries of a request that were discarded. */
export const DISCARDED = `state = 'discarded' AND finished_at >= :since AND COALESCE(last_error, '') NOT IN (:...except)`;

export const countsOf = (rows: readonly DiscardedRow[]): Map<string, number> =>
  new Map(rows.map(({ handler, n }) => [handler, Number(n)]));

/** Counts the latest discarded deliveries by handler, in a database that has an index of the ids of discarded deliveries. */
export async function discardedById(
  manager: EntityManager,
  { delivery, attempt }: TableNames,
  { most, ...request }: DiscardedRequest,
): Promise<Map<string, number>> {
  // Ids say when a delivery was opened. One that was opened long ago and has just failed for the last time is found by its attempt.
  const latest = await select<{ id: string }>(
    manager,
    `SELECT id FROM (SELECT id FROM ${delivery} WHERE state = 'discarded' ORDER BY id DESC LIMIT ${most}) l
     UNION SELECT delivery_id FROM (SELECT delivery_id FROM ${attempt} ORDER BY id DESC LIMIT ${most}) f`,
  );
  if (latest.length === 0) return new Map();
  // By a join, the database might read all deliveries.
  const counted = `SELECT handler, COUNT(*) AS n FROM ${delivery} WHERE id IN (:...ids) AND ${DISCARDED} GROUP BY handler`;
  return countsOf(await select<DiscardedRow>(manager, counted, { ...request, ids: latest.map(({ id }) => id) }));
}
