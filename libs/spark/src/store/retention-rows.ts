import type { RetentionTimes } from '../config/spark.settings.js';
import { HAS_CONTENT, NO_CONTENT } from '../database/event-columns.js';
import type { TableNames } from '../database/table-names.js';

/** How many rows were removed, or would be. */
export interface Pruned {
  readonly deliveries: number;
  readonly contexts: number;
  readonly keys: number;
}

/** For how long rows are kept. */
export type KeptTimes = Pick<RetentionTimes, 'completed' | 'discarded' | 'keys'>;

/** Rows that have reached their time. */
export interface OldRows {
  readonly what: keyof Pruned;
  /** The name under which the progress of their removal is stored. */
  readonly name: string;
  readonly table: string;
  /** The column with the id of their event. They are removed in its order. */
  readonly event: 'id' | 'event_id';
  /** The last event whose rows may be old. */
  readonly upTo: number;
  readonly where: string;
  readonly parameters: object;
  /** The statement that removes the rows of some `ids`. */
  readonly remove: string;
}

/** Finished deliveries of one state that have reached their time. */
interface OldDeliveries {
  readonly state: 'completed' | 'skipped' | 'discarded';
  /** They ended before this instant. */
  readonly before: number;
  readonly upTo: number;
}

/** When the rows are selected: after the old deliveries were removed, or before, as if they were. */
type Order = 'removed' | 'counted';

/**
 * The rows that have reached their time at the instant `now`, in the order of their removal. It is the only place that says which rows
 * these are.
 *
 * @param lastBefore returns the id of the last event that was entered before an instant
 */
export async function oldRows(
  tables: TableNames,
  { completed, discarded, keys }: KeptTimes,
  now: number,
  lastBefore: (instant: number) => Promise<number>,
  order: Order,
): Promise<OldRows[]> {
  const ended: OldDeliveries[] = [];
  const add = async (before: number, ...states: OldDeliveries['state'][]) => {
    // A delivery ends after its event was entered, so deliveries of events that were entered later need not be read.
    const upTo = await lastBefore(before);
    ended.push(...states.map((state) => ({ state, before, upTo })));
  };
  if (completed !== undefined) await add(now - completed, 'completed', 'skipped');
  if (discarded !== undefined) await add(now - discarded, 'discarded');
  const all = ended.map((old) => deliveries(tables, old));
  const undelivered = withoutDeliveries(tables, order === 'counted' ? ended : []);
  const kept = Math.max(completed ?? Infinity, discarded ?? 0);
  if (Number.isFinite(kept)) all.push(contexts(tables, await lastBefore(now - kept), undelivered));
  for (const [group, age] of keys) all.push(keysOf(group, tables, await lastBefore(now - age), undelivered));
  return all;
}

interface Condition {
  readonly sql: string;
  readonly parameters: object;
}

const isOld = ({ state, before, upTo }: OldDeliveries): Condition => ({
  sql: `state = '${state}' AND finished_at < :${state}Before AND event_id <= :${state}UpTo`,
  parameters: { [`${state}Before`]: before, [`${state}UpTo`]: upTo },
});

function deliveries({ delivery }: TableNames, old: OldDeliveries): OldRows {
  const { sql: where, parameters } = isOld(old);
  const remove = `DELETE FROM ${delivery} WHERE id IN (:...ids)`;
  const { state: name, upTo } = old;
  return { what: 'deliveries', name, table: delivery, event: 'event_id', upTo, where, parameters, remove };
}

/** The condition that an event has no delivery, but for those that go. */
function withoutDeliveries({ event, delivery }: TableNames, going: readonly OldDeliveries[]): Condition {
  const old = going.map(isOld);
  const goes = old.map(({ sql }) => `(${sql})`).join(' OR ');
  const stays = goes === '' ? '' : ` AND CASE WHEN ${goes} THEN 0 ELSE 1 END = 1`;
  return {
    sql: `NOT EXISTS (SELECT 1 FROM ${delivery} d WHERE d.event_id = ${event}.id${stays})`,
    parameters: Object.assign({}, ...old.map(({ parameters }) => parameters)) as object,
  };
}

function contexts({ event }: TableNames, upTo: number, { sql, parameters }: Condition): OldRows {
  const where = `${HAS_CONTENT} AND ${sql}`;
  const remove = `UPDATE ${event} SET ${NO_CONTENT} WHERE id IN (:...ids)`;
  return { what: 'contexts', name: 'contexts', table: event, event: 'id', upTo, where, parameters, remove };
}

function keysOf(group: string, { event }: TableNames, upTo: number, { sql, parameters }: Condition): OldRows {
  return {
    what: 'keys',
    name: `keys of ${group}`,
    table: event,
    event: 'id',
    upTo,
    where: `event_group = :group AND ${sql}`,
    parameters: { ...parameters, group },
    remove: `DELETE FROM ${event} WHERE id IN (:...ids)`,
  };
}
