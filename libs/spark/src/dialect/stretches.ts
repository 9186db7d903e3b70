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
 */
export async function unseen<E extends Pick<Entry, 'key' | 'group'>>(
  events: readonly E[],
  keysAlong: (stretches: readonly Stretch[]) => Promise<readonly ReadonlySet<string>[]>,
): Promise<readonly E[]> {
  const groups = [...keysByGroup(events)];
  if (groups.length > STRETCHES) return events;
  const along = await keysAlong(groups.map(([group, keys]) => stretchOf(group, keys)));
  const seen = new Map(groups.map(([group], i) => [group, along[i]!]));
  return events.filter(({ key, group }) => !seen.get(group)!.has(key));
}

// Where the database puts other keys first than JavaScript, some are not seen.
function stretchOf(group: string, keys: readonly string[]): Stretch {
  let [first, last] = [keys[0]!, keys[0]!];
  for (const key of keys) {
    if (key < first) first = key;
    else if (key > last) last = key;
  }
  return { group, first, last, most: 2 * keys.length };
}
