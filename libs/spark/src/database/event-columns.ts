/**
 * The columns of the event table, and how events are written and read. A new column needs a change of this file, and a new version in
 * `schema/`.
 */

import type { Texts } from './statement.js';

/** An event as the ledger stores it. */
export interface Entry {
  readonly key: string;
  readonly group: string;
  /** The table of the entity that the event derives from; null for an emitted event. */
  readonly entity: string | null;
  readonly entityId: string | null;
  readonly source: string | null;
  readonly context: string | null;
  /** When the event became true, in epoch ms; null when its source set no `at`. */
  readonly at: number | null;
  /** When the event expires, in epoch ms; null for never. */
  readonly until: number | null;
  /** How many events led to this one: 0 outside of any handler. */
  readonly depth: number;
  /** The metadata of the event, as JSON text. */
  readonly metadata: string | null;
  /** The number of the event whose handler led to this one; null outside of any handler. */
  readonly cause: string | null;
}

/** A row of the columns of an entry, as drivers return it: some return numbers as text. */
export interface EntryRow {
  readonly event_key: string;
  readonly event_group: string;
  readonly entity: string | null;
  readonly entity_id: string | null;
  readonly source: string | null;
  readonly context: string | null;
  readonly at: string | number | null;
  readonly until_at: string | number | null;
  readonly depth: string | number;
  readonly metadata: string | null;
  readonly caused_by: string | number | null;
}

/** A column, and the value of an entry for it. */
interface EntryColumn {
  readonly name: keyof EntryRow;
  readonly type: 'text' | 'bigint' | 'int';
  readonly of: (entry: Entry) => string | number | null;
}

/** The columns with values of an entry. */
export const ENTRY: readonly EntryColumn[] = [
  { name: 'event_key', type: 'text', of: ({ key }) => key },
  { name: 'event_group', type: 'text', of: ({ group }) => group },
  { name: 'entity', type: 'text', of: ({ entity }) => entity },
  { name: 'entity_id', type: 'text', of: ({ entityId }) => entityId },
  { name: 'source', type: 'text', of: ({ source }) => source },
  { name: 'context', type: 'text', of: ({ context }) => context },
  { name: 'at', type: 'bigint', of: ({ at }) => at },
  { name: 'until_at', type: 'bigint', of: ({ until }) => until },
  { name: 'depth', type: 'int', of: ({ depth }) => depth },
  { name: 'metadata', type: 'text', of: ({ metadata }) => metadata },
  { name: 'caused_by', type: 'bigint', of: ({ cause }) => cause },
];

/** Reads an event. */
export function entryFrom(row: EntryRow): Entry {
  const { event_key: key, event_group: group, entity, entity_id: entityId, source, context, metadata } = row;
  const [at, until, depth] = [numberOf(row.at), numberOf(row.until_at), Number(row.depth)];
  const cause = row.caused_by === null ? null : String(row.caused_by);
  return { key, group, entity, entityId, source, context, at, until, depth, metadata, cause };
}

/** Reads an event from the texts of a row that begins with {@link ENTRY_COLUMNS}. */
export function entryFromTexts(row: Texts): Entry {
  const [key, group, entity, entityId, source, context, at, until, depth, metadata, cause] = row as EntryTexts;
  return {
    key,
    group,
    entity,
    entityId,
    source,
    context,
    at: numberOf(at),
    until: numberOf(until),
    depth: Number(depth),
    metadata,
    cause,
  };
}

type Nullable = string | null;
/** The texts of {@link ENTRY}, in its order. */
type EntryTexts = readonly [
  key: string,
  group: string,
  entity: Nullable,
  entityId: Nullable,
  source: Nullable,
  context: Nullable,
  at: Nullable,
  until: Nullable,
  depth: string,
  metadata: Nullable,
  cause: Nullable,
  ...others: Nullable[],
];

// The columns with data of the application.
const CONTENT = ['context', 'metadata'] as const;

/** How many characters the application's data in an event take. */
export const contentLength = (entry: Entry): number =>
  CONTENT.reduce((length, name) => length + (entry[name]?.length ?? 0), 0);

/** The condition that an event still has data of the application. */
export const HAS_CONTENT = `(${CONTENT.map((name) => `${name} IS NOT NULL`).join(' OR ')})`;

/** The SET clause of an UPDATE that removes the data of the application. */
export const NO_CONTENT = CONTENT.map((name) => `${name} = NULL`).join();

/** The columns of an entry, for a statement that names the table by an alias. */
export const entryColumns = (alias: string): string => ENTRY.map(({ name }) => `${alias}.${name}`).join(', ');

/** The columns of an entry, for a statement with no other table. */
export const ENTRY_COLUMNS = ENTRY.map(({ name }) => name).join(', ');

/** The columns of an event that is inserted. */
export const EVENT_COLUMNS = `${ENTRY_COLUMNS}, recorded_at`;

/** One placeholder for each of {@link EVENT_COLUMNS}. */
export const EVENT_PLACES = EVENT_COLUMNS.split(',')
  .map(() => '?')
  .join(', ');

/** The values of {@link EVENT_COLUMNS}. */
export function eventRow(entry: Entry, now: number): unknown[] {
  const row: unknown[] = ENTRY.map(({ of }) => of(entry));
  row.push(now);
  return row;
}

const numberOf = (value: string | number | null): number | null => (value === null ? null : Number(value));
