import type { EntityManager } from 'typeorm';
import type { Dialect, Entered, Entry, Recipient } from './dialect.js';
import { BASELINE, type Opening } from './opening.js';
import { raw } from './statement.js';
import type { TableNames } from './table-names.js';

/** A row of what entering tells: a new key with its id, a key known under another group, or the handlers' revision. */
export interface EnteredRow {
  id: string | number | null;
  event_key: string | null;
  event_group: string | null;
  revision: string | number | null;
}

/** Reads the rows of entering. */
export function enteredFrom(rows: readonly EnteredRow[]): Entered {
  const ids = new Map<string, string>();
  const otherGroup = new Map<string, string>();
  let revision = 0;
  for (const row of rows) {
    if (row.event_key === null) revision = Number(row.revision ?? 0);
    else if (row.id === null) otherGroup.set(row.event_key, row.event_group!);
    else ids.set(row.event_key, String(row.id));
  }
  return { ids, otherGroup, revision };
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

/** The keys that are known, with their groups, and the handlers' revision, in one statement. */
export async function known(
  manager: EntityManager,
  tables: TableNames,
  entries: readonly Entry[],
  keys: { readonly sql: string; readonly given: unknown },
) {
  const groups = new Map<string, string>();
  let revision = 0;
  const rows = await raw<EnteredRow>(
    manager,
    `SELECT event_key, event_group, NULL AS revision FROM ${tables.event} WHERE event_key IN (${keys.sql})
     UNION ALL SELECT NULL, NULL, SUM(revision) FROM ${tables.handler}`,
    [keys.given],
  );
  for (const row of rows) {
    if (row.event_key === null) revision = Number(row.revision ?? 0);
    else groups.set(row.event_key, row.event_group!);
  }
  const otherGroup = new Map(
    entries.filter(({ key, group }) => (groups.get(key) ?? group) !== group).map(({ key }) => [key, groups.get(key)!]),
  );
  return { fresh: entries.filter(({ key }) => !groups.has(key)), otherGroup, revision };
}

/** A delivery to be opened. */
export type OpenedDelivery = Recipient & { readonly eventId: string; readonly opening: Opening };

/** Opens deliveries of events by their ids. */
export async function openDeliveries(
  manager: EntityManager,
  tables: TableNames,
  dialect: Dialect,
  deliveries: readonly OpenedDelivery[],
  now: number,
): Promise<void> {
  if (deliveries.length === 0) return;
  const rows = deliveries.map(({ eventId, name, priority, opening }) => {
    const end = opening === 'discarded' ? [now, BASELINE] : [null, null];
    return [eventId, name, opening, 0, priority, 0, now, ...end];
  });
  const { sql, given } = dialect.rows(rows);
  const columns = 'event_id, handler, state, attempt, priority, suspect, due_at, finished_at, last_error';
  await raw(manager, `INSERT INTO ${tables.delivery} (${columns}) ${sql}`, given);
}

/** The deliveries of those entries that turned out to be new. */
export function deliveriesOf(entries: readonly Entry[], ids: Map<string, string>): OpenedDelivery[] {
  return entries.flatMap(({ key, opening, handlers }) => {
    const eventId = ids.get(key);
    return eventId === undefined ? [] : handlers.map((handler) => ({ eventId, opening, ...handler }));
  });
}

export const EVENT_COLUMNS =
  'event_key, event_group, entity, entity_id, source, context, at, until_at, depth, recorded_at';

/** The columns of an event, in the order of {@link EVENT_COLUMNS}. */
export function eventRow(entry: Entry, now: number): unknown[] {
  const { key, group, entity, entityId, source, context, at, until, depth } = entry;
  return [key, group, entity, entityId, source, context, at, until, depth, now];
}
