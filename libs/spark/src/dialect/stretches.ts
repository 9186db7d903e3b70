import type { Entry } from './dialect.js';
import { keysByGroup } from './entered.js';

/** Where keys of a group lie in the index of all keys. */
export interface Stretch {
  readonly group: string;
  readonly first: string;
  readonly last: string;
  /** How many are read of it: the keys of others may lie between them. */
  readonly most: number;
}

// Each is a part of the statement that reads along them.
const STRETCHES = 50;

/**
 * Those events that are not seen where their keys lie: they may be known all the same. Mostly all are known and lie side by
 * side, and to read along them costs a fraction of looking each up.
 *
 * @param keysAlong gives the known keys of each group in its stretch, in their order
 */
export async function unseen<E extends Pick<Entry, 'key' | 'group'>>(
  events: readonly E[],
  keysAlong: (stretches: readonly Stretch[]) => Promise<ReadonlyMap<string, readonly string[]>>,
): Promise<readonly E[]> {
  const groups = [...keysByGroup(events)];
  if (groups.length > STRETCHES) return events;
  for (const [, keys] of groups) keys.sort();
  const along = await keysAlong(
    groups.map(([group, keys]) => ({ group, first: keys[0]!, last: keys.at(-1)!, most: 2 * keys.length })),
  );
  const left = groups.map(([group, keys]) => [group, new Set(besides(keys, along.get(group)!))] as const);
  if (left.every(([, keys]) => keys.size === 0)) return [];
  const byGroup = new Map(left);
  return events.filter(({ key, group }) => byGroup.get(group)!.has(key));
}

/** Those of some keys that are not among others. Where the database has another order than JavaScript, it may name more. */
function besides(keys: readonly string[], others: readonly string[]): string[] {
  let at = 0;
  return keys.filter((key) => {
    while (at < others.length && others[at]! < key) at++;
    return others[at] !== key;
  });
}

/** A character that keys may hold, but hardly do. */
const SEPARATOR = '\x1f';

/**
 * SQL for one row: the keys of each stretch as one text, in columns that are called 0, 1 and so on. Each stretch has four
 * parameters: the first and the last key, how many are read, and the group.
 *
 * @param join the database's function that joins text
 */
export function keysAlongSql(
  event: string,
  stretches: number,
  join: string,
  parameter: (position: number) => string,
): string {
  let position = 1;
  const next = () => parameter(position++);
  const ofStretch = (_: unknown, i: number) =>
    `(SELECT count(*) || coalesce('${SEPARATOR}' || ${join}(event_key, '${SEPARATOR}'), '') FROM (
      SELECT event_key, event_group FROM ${event} WHERE event_key >= ${next()} AND event_key <= ${next()}
      ORDER BY event_key LIMIT ${next()}) e WHERE event_group = ${next()}) AS "${i}"`;
  return `SELECT ${Array.from({ length: stretches }, ofStretch).join()}`;
}

/** The parameters of {@link keysAlongSql}. */
export const givenOf = (stretches: readonly Stretch[]): unknown[] =>
  stretches.flatMap(({ group, first, last, most }) => [first, last, most, group]);

/** Reads the row of {@link keysAlongSql}. */
export function keysOfRow(stretches: readonly Stretch[], row: Record<number, string>): Map<string, string[]> {
  return new Map(stretches.map(({ group }, i) => [group, keysOfText(row[i]!)]));
}

// Where a key holds what stands between them, none is seen: all of them are looked up.
function keysOfText(text: string): string[] {
  const [count, ...keys] = text.split(SEPARATOR);
  return keys.length === Number(count) ? keys : [];
}
