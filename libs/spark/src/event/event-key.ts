/** The id of an event: an entity's id, or the parts of a composite id. */
export type EventId = string | number | bigint | readonly (string | number | bigint)[];

// The separators in a key, and the backslash that escapes them.
const IN_ID = /[\\_@,]/g;
const IN_OCCURRENCE = /[\\_]/g;
const IN_GROUP = /\\/g;

/**
 * The key of an event: `group_id`, or `group_id@occurrence`. Two different events never share a key: each part has a backslash
 * before characters that are separators. The last `_` without a backslash ends the group.
 */
export function eventKey(group: string, id: EventId, occurrence: string | number | undefined): string {
  const key = `${groupText(group)}_${Array.isArray(id) ? idText(id as unknown[]) : partText(id)}`;
  return occurrence === undefined ? key : `${key}@${escape(String(occurrence), IN_OCCURRENCE)}`;
}

/** The id of an event within its key, its parts joined by commas. */
export const idText = (parts: readonly unknown[]): string => parts.map(partText).join(',');

/** The text of the id in a key that {@link eventKey} made for a group; undefined if the key was not made so. */
export function idTextIn(group: string, key: string): string | undefined {
  const start = `${groupText(group)}_`;
  return key.startsWith(start) ? /^(?:[^\\@]|\\.)*/s.exec(key.slice(start.length))![0] : undefined;
}

// There are many keys, and `replace` costs time even if it finds nothing: a number has no separators, and hardly any group has a backslash.
const partText = (part: unknown): string => (typeof part === 'number' ? String(part) : escape(String(part), IN_ID));

const groupText = (group: string): string => (group.includes('\\') ? escape(group, IN_GROUP) : group);

const escape = (text: string, separators: RegExp): string => text.replace(separators, '\\$&');
