import type { EntityManager } from 'typeorm';
import type { ClaimedRow, ClaimRequest, Completion, Dialect, Dispatched, DispatchedRow, TakeOver } from './dialect.js';
import { ON_ITS_WAY, OURS, SET } from './delivery-columns.js';
import { ENTRY_COLUMNS, entryFrom, type EntryRow } from './event-columns.js';
import { execute, select } from './statement.js';
import type { TableNames } from './table-names.js';

/** A claimed delivery without its event. */
export type WithoutEvent = Pick<ClaimedRow, 'id' | 'event_id' | 'handler' | 'partition_key' | 'attempt' | 'due_at'>;

/** Claimed deliveries with their events, which another statement reads. */
async function withEvents(
  manager: EntityManager,
  tables: TableNames,
  rows: readonly WithoutEvent[],
): Promise<ClaimedRow[]> {
  const events = await select<EntryRow & Pick<ClaimedRow, 'id' | 'recorded_at'>>(
    manager,
    `SELECT id, ${ENTRY_COLUMNS}, recorded_at FROM ${tables.event} WHERE id IN (:...ids)`,
    { ids: [...new Set(rows.map((row) => row.event_id))] },
  );
  const byId = new Map(events.map((event) => [String(event.id), event]));
  return rows.flatMap((row) => {
    const event = byId.get(String(row.event_id));
    return event ? [{ ...row, recorded_at: event.recorded_at, event: entryFrom(event) }] : [];
  });
}

/**
 * Claims deliveries that this transaction has read and locked. Returns them with their events.
 *
 * @param byKey as in {@link Dialect.byKey}
 */
export async function claimRead(
  manager: EntityManager,
  tables: TableNames,
  by: Pick<ClaimRequest, 'worker' | 'now'>,
  rows: readonly WithoutEvent[],
  byKey = '',
  set = SET.claimed(),
): Promise<ClaimedRow[]> {
  if (rows.length === 0) return [];
  const update = `UPDATE ${tables.delivery} ${byKey} SET ${set} WHERE id IN (:...ids)`;
  await execute(manager, update, { ...by, ids: rows.map(({ id }) => id) });
  return withEvents(manager, tables, rows);
}

/** A delivery that a transaction has locked, to claim or to dispatch it. */
export type LockedRow = WithoutEvent & DispatchedRow;

/** The columns of a {@link LockedRow}. */
export const LOCKED_COLUMNS = 'id, event_id, handler, partition_key, priority, attempt + 1 AS attempt, due_at';

/** Dispatches deliveries that this transaction has read and locked. */
export async function dispatchRead(
  manager: EntityManager,
  { delivery }: TableNames,
  worker: string,
  due: number,
  { rows, isMore }: { readonly rows: readonly LockedRow[]; readonly isMore: boolean },
  byKey = '',
): Promise<Dispatched> {
  const ids = rows.map(({ id }) => id);
  const update = `UPDATE ${delivery} ${byKey} SET ${SET.dispatched()} WHERE id IN (:...ids)`;
  if (rows.length > 0) await execute(manager, update, { worker, due, ids });
  return { rows, isMore };
}

/** Reads and locks those deliveries that are on their way, and claims them, for databases whose UPDATE does not return rows. */
export async function takeOverRead(
  manager: EntityManager,
  tables: TableNames,
  { byKey, skipsLocked }: Dialect,
  request: TakeOver,
): Promise<ClaimedRow[]> {
  const rows = await select<LockedRow>(
    manager,
    `SELECT ${LOCKED_COLUMNS} FROM ${tables.delivery} d ${byKey} WHERE id IN (:...ids) AND ${ON_ITS_WAY}
     AND NOT EXISTS (SELECT 1 FROM ${tables.pause} p WHERE p.handler = d.handler) ORDER BY id
     ${skipsLocked ? 'FOR UPDATE SKIP LOCKED' : ''}`,
    { ids: request.ids },
  );
  const { now, ttl } = request;
  const taken = rows.map((row) => ({ ...row, due_at: Math.min(Number(row.due_at) - ttl, now) }));
  return claimRead(manager, tables, request, taken, byKey, SET.takenOver());
}

/** Completes deliveries, and reads which of them it has completed, for databases whose UPDATE does not return rows. */
export async function completeAndAsk(
  manager: EntityManager,
  tables: TableNames,
  dialect: Dialect,
  { worker, attempt, done, now, history }: Completion,
): Promise<Set<string>> {
  const { delivery, attempt: attempts } = tables;
  const ids = done.map(({ id }) => id);
  const ours = `id IN (:...ids) AND ${OURS}`;
  const parameters = { ids, attempt, worker };
  if (!history) {
    const own = await select<{ id: string; failed: number }>(
      manager,
      `SELECT id, last_error IS NOT NULL AS failed FROM ${delivery} ${dialect.byKey} WHERE ${ours} ${dialect.forUpdate}`,
      parameters,
    );
    if (own.length > 0)
      await execute(manager, `DELETE FROM ${delivery} WHERE id IN (:...own)`, { own: own.map(({ id }) => id) });
    const failed = own.filter((row) => Number(row.failed) === 1).map(({ id }) => id);
    if (failed.length > 0)
      await execute(manager, `DELETE FROM ${attempts} WHERE delivery_id IN (:...failed)`, { failed });
    return new Set(own.map(({ id }) => String(id)));
  }
  const durations = done.map(({ id, durationMs }, i) => {
    Object.assign(parameters, { [`d${i}`]: id });
    return `WHEN :d${i} THEN ${Math.trunc(durationMs)}`;
  });
  const { affected } = await execute(
    manager,
    `UPDATE ${delivery} ${dialect.byKey} SET ${SET.completed(':now', `CASE id ${durations.join(' ')} END`)} WHERE ${ours}`,
    { ...parameters, now },
  );
  return affected === done.length ? new Set(ids) : completedBy(manager, tables, worker, ids);
}

/** Returns the deliveries that a worker has completed, with this statement or with an earlier one whose answer was lost. */
export async function completedBy(
  manager: EntityManager,
  { delivery }: TableNames,
  worker: string,
  ids: readonly string[],
): Promise<Set<string>> {
  const completed = await select<{ id: string }>(
    manager,
    `SELECT id FROM ${delivery} WHERE id IN (:...ids) AND state = 'completed' AND claimed_by = :worker`,
    { ids, worker },
  );
  return new Set(completed.map(({ id }) => String(id)));
}
