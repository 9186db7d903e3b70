import type { EntityManager } from 'typeorm';
import { yieldToEventLoop } from '../common/event-loop.js';
import type { Dialect, KeysInRange, KeyRange, Owner } from './dialect.js';
import type { Entry } from './event-columns.js';
import { chunks } from './statement.js';

type Keyed = Pick<Entry, 'key' | 'group' | 'entity' | 'entityId'>;

const LOOKED_UP = 5_000;
// Each range is a part of one statement, so there must not be too many.
const RANGES = 50;

/** Events that were looked up in the ledger. */
interface LookedUp<E> {
  readonly all: readonly E[];
  /** Those whose keys no event of the same group and entity has. */
  readonly left: readonly E[];
  /** The owners of keys among `left` that are in the ledger all the same. */
  readonly owners: ReadonlyMap<string, Owner>;
}

/** Looks events up in the ledger by their keys, some thousands at a time. */
export async function* lookedUp<E extends Keyed>(
  manager: EntityManager,
  dialect: Dialect,
  events: readonly E[],
): AsyncGenerator<LookedUp<E>> {
  for (const all of chunks(events, LOOKED_UP)) {
    await yieldToEventLoop();
    const left = await unseen(all, (ranges) => dialect.keysInRanges(manager, ranges));
    const keys = left.map(({ key }) => key);
    const owners = keys.length === 0 ? new Map<string, Owner>() : await dialect.ownersOf(manager, keys);
    yield { all, left, owners };
  }
}

/**
 * Drops the events whose keys a range query finds in the ledger. An event in the result may still be in the ledger. Mostly, all events
 * of a page are in the ledger and their keys are neighbours. Then one range query costs a fraction of a lookup for each key.
 *
 * @param keysInRanges reads the known keys of each range
 */
async function unseen<E extends Keyed>(
  events: readonly E[],
  keysInRanges: (ranges: readonly KeyRange[]) => Promise<readonly KeysInRange[]>,
): Promise<readonly E[]> {
  const groups = byGroup(events);
  if (groups.length > RANGES) return events;
  const ranges = groups.map(rangeOf);
  const along = await keysInRanges(ranges);
  return groups.flatMap((group, i) => besides(group, ranges[i]!, along[i]!));
}

function byGroup<E extends Keyed>(events: readonly E[]): E[][] {
  const groups = new Map<string, E[]>();
  for (const event of events) {
    const group = groups.get(event.group);
    if (group) group.push(event);
    else groups.set(event.group, [event]);
  }
  return [...groups.values()];
}

function rangeOf(events: readonly Keyed[]): KeyRange {
  const { group, entity, key } = events[0]!;
  let [first, last] = [key, key];
  for (const event of events) {
    if (event.key < first) first = event.key;
    else if (event.key > last) last = event.key;
  }
  return { group, entity, first, last, most: 2 * events.length };
}

/** The events of a group whose keys are not among the known keys, or are known for another entity. */
function besides<E extends Keyed>(events: readonly E[], { entity }: KeyRange, along: KeysInRange): E[] {
  const ids = new Map<string, string>();
  for (let at = 0; at < along.length; at += 2) ids.set(along[at]!, along[at + 1]!);
  return events.filter((event) => {
    const id = ids.get(event.key);
    return id === undefined || event.entity !== entity || !isSame(event.entityId, id);
  });
}

// The entity of an event of a batch may be unknown.
const isSame = (id: string | null, other: string): boolean => id === other || id === null || other === '';

/** A character that keys may have, but hardly ever do. */
const SEPARATOR = '\x1f';

/**
 * SQL for one row with the known keys of each range as one text, in columns named 0, 1 and so on. The parameters are those of
 * {@link givenOf}.
 *
 * @param join the database's function that joins text
 * @param isEqual the database's operator for which two nulls are equal
 */
export function keysInRangesSql(
  event: string,
  ranges: number,
  join: string,
  isEqual: string,
  parameter: (position: number) => string,
): string {
  let position = 1;
  const next = () => parameter(position++);
  const known = `event_key || '${SEPARATOR}' || coalesce(entity_id, '')`;
  const ofRange = (_: unknown, i: number) =>
    `(SELECT count(*) || coalesce('${SEPARATOR}' || ${join}(${known}, '${SEPARATOR}'), '') FROM (
      SELECT event_key, event_group, entity, entity_id FROM ${event} WHERE event_key >= ${next()} AND event_key <= ${next()}
      ORDER BY event_key LIMIT ${next()}) e WHERE event_group = ${next()} AND entity ${isEqual} ${next()}) AS "${i}"`;
  return `SELECT ${Array.from({ length: ranges }, ofRange).join()}`;
}

/** The parameters of {@link keysInRangesSql}. */
export const givenOf = (ranges: readonly KeyRange[]): unknown[] =>
  ranges.flatMap(({ group, entity, first, last, most }) => [first, last, most, group, entity]);

/** Reads the row of {@link keysInRangesSql}. */
export const keysOfRow = (ranges: readonly KeyRange[], row: Record<number, string>): KeysInRange[] =>
  ranges.map((_, i) => keysOfText(row[i]!));

// If a key or an id contains the separator, the range counts as empty, and each of its keys is looked up.
function keysOfText(text: string): KeysInRange {
  const [count, ...along] = text.split(SEPARATOR);
  return along.length === 2 * Number(count) ? along : [];
}
