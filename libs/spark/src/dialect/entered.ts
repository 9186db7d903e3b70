import type { EntityManager } from 'typeorm';
import type { Entered, Entry, Opened } from './dialect.js';
import { BASELINE, type Opening } from './opening.js';
import { execute, raw } from './statement.js';
import type { TableNames } from './table-names.js';

/** A row of what entering tells: a new key, a key known under another group with that group, or the handlers' revision. */
export interface EnteredRow {
  event_key: string | null;
  event_group: string | null;
  revision: string | number | null;
}

/** Reads the rows of entering. */
export function enteredFrom(rows: readonly EnteredRow[]): Entered {
  const fresh = new Set<string>();
  const otherGroup = new Map<string, string>();
  let revision = 0;
  for (const row of rows) {
    if (row.event_key === null) revision = Number(row.revision ?? 0);
    else if (row.event_group === null) fresh.add(row.event_key);
    else otherGroup.set(row.event_key, row.event_group);
  }
  return { fresh, otherGroup, revision };
}

/** The keys of each group. */
export function keysByGroup(events: readonly Pick<Entry, 'key' | 'group'>[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { key, group } of events) {
    const keys = groups.get(group);
    if (keys) keys.push(key);
    else groups.set(group, [key]);
  }
  return groups;
}

/** `{ group: [key, …] }`, as JSON. */
export const groupsJson = (groups: ReadonlyMap<string, readonly string[]>): string =>
  JSON.stringify(Object.fromEntries(groups));

/** The groups of the keys that are known; `keys` is the list of these in SQL, with the one parameter that it takes. */
export async function groupsOf(
  manager: EntityManager,
  tables: TableNames,
  keys: { readonly sql: string; readonly given: unknown },
): Promise<Map<string, string>> {
  const rows = await raw<{ event_key: string; event_group: string }>(
    manager,
    `SELECT event_key, event_group FROM ${tables.event} WHERE event_key IN (${keys.sql})`,
    [keys.given],
  );
  return new Map(rows.map((row) => [row.event_key, row.event_group]));
}

/** Those of the events whose keys are known under another group, and that group. */
export function otherGroups(events: readonly Pick<Entry, 'key' | 'group'>[], known: ReadonlyMap<string, string>) {
  const others = events.filter(({ key, group }) => (known.get(key) ?? group) !== group);
  return new Map(others.map(({ key }) => [key, known.get(key)!]));
}

/** The columns of a delivery that is opened. */
export const DELIVERY_COLUMNS = 'event_id, handler, state, attempt, priority, suspect, due_at, finished_at, last_error';

/** When a delivery that is opened has ended already, and why. */
export function endOf(opening: Opening, now: number): { finished: number | null; reason: string | null } {
  return opening === 'discarded' ? { finished: now, reason: BASELINE } : { finished: null, reason: null };
}

/** Opens deliveries of events by their keys. */
export async function openByKey(
  manager: EntityManager,
  { delivery, event }: TableNames,
  opened: readonly Opened[],
  keys: readonly string[],
  now: number,
): Promise<void> {
  for (const { name, priority, opening, groups } of opened) {
    await execute(
      manager,
      `INSERT INTO ${delivery} (${DELIVERY_COLUMNS})
       SELECT id, :name, :opening, 0, :priority, 0, :now, :finished, :reason
       FROM ${event} WHERE event_key IN (:...keys) AND event_group IN (:...groups)`,
      { name, opening, priority, now, ...endOf(opening, now), keys, groups },
    );
  }
}

/** The columns of an event that its entry says. */
export const ENTRY_COLUMNS = 'event_key, event_group, entity, entity_id, source, context, at, until_at, depth';

export const EVENT_COLUMNS = `${ENTRY_COLUMNS}, recorded_at`;

/** The columns of an event, in the order of {@link EVENT_COLUMNS}. */
export function eventRow(entry: Entry, now: number): unknown[] {
  const { key, group, entity, entityId, source, context, at, until, depth } = entry;
  return [key, group, entity, entityId, source, context, at, until, depth, now];
}
