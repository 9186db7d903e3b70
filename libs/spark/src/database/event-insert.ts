import type { EntityManager } from 'typeorm';
import type { Entered, Opened, Owner } from './dialect.js';
import type { Entry } from './event-columns.js';
import { BASELINE, type InitialState } from './delivery-states.js';
import { execute } from './statement.js';
import type { TableNames } from './table-names.js';

/** A row of the result of entering: a new key, a key of another group or entity with its owner, or the handlers' revision. */
export interface EnteredRow {
  event_key: string | null;
  event_group: string | null;
  entity: string | null;
  entity_id: string | null;
  revision: string | number | null;
}

/** Reads the rows of the result of entering. */
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

/** The columns of the owner of an event: its group and entity. */
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

/** The owners of keys. */
export const ownersFrom = (rows: readonly (OwnerRow & { event_key: string })[]): Map<string, Owner> =>
  new Map(rows.map((row) => [row.event_key, ownerOf(row)]));

/** Whether a key in the ledger belongs to another group or entity, by the texts of both. */
export const isOther = (owner: Owner, entry: Owner): boolean =>
  owner.group !== entry.group || owner.entityId !== entry.entityId || owner.entity !== entry.entity;

/** The keys of entries that belong to another group or entity, with their owners. */
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

/** When a delivery has ended that is opened as discarded, and why. */
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
