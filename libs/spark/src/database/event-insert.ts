import type { EntityManager } from 'typeorm';
import type { Entered, Opened, Owner } from './dialect.js';
import type { Entry } from './event-columns.js';
import { BASELINE, type InitialState } from './delivery-states.js';
import { execute } from './statement.js';
import type { TableNames } from './table-names.js';

/** A row of what entering tells: a new key, a key that is another's with whose it is, or the handlers' revision. */
export interface EnteredRow {
  event_key: string | null;
  event_group: string | null;
  entity: string | null;
  entity_id: string | null;
  revision: string | number | null;
}

/** Reads the rows of entering. */
export function enteredFrom(rows: readonly EnteredRow[]): Entered {
  const fresh = new Set<string>();
  const others = new Map<string, Owner>();
  let revision = 0;
  for (const row of rows) {
    if (row.event_key === null) revision = Number(row.revision ?? 0);
    else if (row.event_group === null) fresh.add(row.event_key);
    else others.set(row.event_key, ownerOf({ ...row, event_group: row.event_group }));
  }
  return { fresh, others, revision };
}

/** The columns that say whose an event is. */
export const OWNER_COLUMNS = 'event_group, entity, entity_id';

/** A row of {@link OWNER_COLUMNS}. */
export interface OwnerRow {
  readonly event_group: string;
  readonly entity: string | null;
  readonly entity_id: string | null;
}

export const ownerOf = ({ event_group: group, entity, entity_id: entityId }: OwnerRow): Owner => ({
  group,
  entity,
  entityId,
});

/** Whose the keys are. */
export const ownersFrom = (rows: readonly (OwnerRow & { event_key: string })[]): Map<string, Owner> =>
  new Map(rows.map((row) => [row.event_key, ownerOf(row)]));

/** Whether a known key is that of another group or entity, as the texts of the two say. */
export const isOther = (owner: Owner, entry: Owner): boolean =>
  owner.group !== entry.group || owner.entityId !== entry.entityId || owner.entity !== entry.entity;

/** Those of the entries whose keys are known as another's, and whose they are. */
export function othersOf(entries: readonly Entry[], known: ReadonlyMap<string, Owner>): Map<string, Owner> {
  const others = new Map<string, Owner>();
  for (const entry of entries) {
    const owner = known.get(entry.key);
    if (owner && isOther(owner, entry)) others.set(entry.key, owner);
  }
  return others;
}

/** The columns of a delivery that is opened. */
export const DELIVERY_COLUMNS = 'event_id, handler, state, attempt, priority, suspect, due_at, finished_at, last_error';

/** When a delivery that is opened has ended already, and why. */
export function endOf(initialState: InitialState, now: number): { finished: number | null; reason: string | null } {
  return initialState === 'discarded' ? { finished: now, reason: BASELINE } : { finished: null, reason: null };
}

/** Opens deliveries of events by their keys. */
export async function openByKey(
  manager: EntityManager,
  { delivery, event }: TableNames,
  opened: readonly Opened[],
  keys: readonly string[],
  now: number,
): Promise<void> {
  for (const { name, priority, initialState, groups } of opened) {
    await execute(
      manager,
      `INSERT INTO ${delivery} (${DELIVERY_COLUMNS})
       SELECT id, :name, :initialState, 0, :priority, 0, :now, :finished, :reason
       FROM ${event} WHERE event_key IN (:...keys) AND event_group IN (:...groups)`,
      { name, initialState, priority, now, ...endOf(initialState, now), keys, groups },
    );
  }
}
