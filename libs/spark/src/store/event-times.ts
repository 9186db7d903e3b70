import type { EntityManager } from 'typeorm';
import { select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';

/**
 * How far an event may be out of the order of time, in milliseconds: ids grow with time, but the clocks of processes differ, and a
 * transaction takes a while to commit.
 */
export const OUT_OF_ORDER = 5 * 60_000;

/**
 * Returns the lowest id of the events that were recorded at an instant or later. No index has the times, so it halves the range of ids until
 * it has found that event: it costs some twenty lookups by the primary key, however many events there are.
 */
export async function firstIdSince(manager: EntityManager, { event }: TableNames, instant: number): Promise<string> {
  const middle = '(h.low + h.high) >> 1';
  const isBefore = `(SELECT e.recorded_at FROM ${event} e WHERE e.id >= (${middle}) ORDER BY e.id LIMIT 1) < :instant`;
  const [row] = await select<{ id: string }>(
    manager,
    `WITH RECURSIVE half(low, high) AS (
       SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0) + 1 FROM ${event}
       UNION ALL
       SELECT CASE WHEN ${isBefore} THEN (${middle}) + 1 ELSE h.low END, CASE WHEN ${isBefore} THEN h.high ELSE (${middle}) END
       FROM half h WHERE h.low < h.high)
     SELECT MAX(low) AS id FROM half`,
    { instant: Math.floor(instant) },
  );
  return String(row!.id);
}
