import type { EntityManager } from 'typeorm';
import { partitionOf } from '../event/event-metadata.js';
import { type Entered, isOpenedFor, type Opened, type Owner } from './dialect.js';
import type { Entry } from './event-columns.js';
import { OPENED_COLUMNS, openedRow, type Opening } from './delivery-columns.js';
import { chunks, execute, select, values } from './statement.js';
import type { TableNames } from './table-names.js';

const ROWS = 500;

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

/** Opens deliveries of events by their keys. The events are read first: an INSERT … SELECT would lock their neighbours on MariaDB. */
export async function openByKey(
  manager: EntityManager,
  { delivery, event }: TableNames,
  opened: readonly Opened[],
  keys: readonly string[],
  now: number,
): Promise<void> {
  if (opened.length === 0) return;
  const events = await select<OpenedEvent>(
    manager,
    `SELECT id, event_key, event_group, metadata FROM ${event} WHERE event_key IN (:...keys) ORDER BY id`,
    { keys },
  );
  for (const part of chunks(openingsOf(opened, events), ROWS)) {
    const { sql, parameters } = values(part.map((opening) => openedRow(opening, now)));
    await execute(manager, `INSERT INTO ${delivery} (${OPENED_COLUMNS}) VALUES ${sql}`, parameters);
  }
}

/** An event whose deliveries are opened. */
export interface OpenedEvent {
  readonly id: string | number | bigint;
  readonly event_key: string;
  readonly event_group: string;
  readonly metadata: string | null;
}

/** The deliveries to open for events. */
export const openingsOf = (opened: readonly Opened[], events: readonly OpenedEvent[]): Opening[] =>
  opened.flatMap((handler) =>
    events
      .filter(({ event_key: key, event_group: group }) => isOpenedFor(handler, { key, group }))
      .map((event) => openingOf(handler, event)),
  );

/** The delivery to open of an event for a handler. */
export const openingOf = (
  { name, priority, initialState, partitionBy }: Omit<Opened, 'groups' | 'keys'>,
  { id, metadata }: Pick<OpenedEvent, 'id' | 'metadata'>,
): Opening => ({
  eventId: id,
  handler: name,
  priority,
  initialState,
  partition: partitionOf(metadata, partitionBy),
});
