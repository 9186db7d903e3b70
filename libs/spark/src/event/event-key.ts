/** What an event is about: an entity's id, or the parts of a composite one. */
export type EventId = string | number | bigint | readonly (string | number | bigint)[];

// What a key is put together with, and what escapes it.
const IN_ID = /[\\_@,]/g;
const IN_OCCURRENCE = /[\\_]/g;
const IN_GROUP = /\\/g;

/**
 * The key of an event: `group_id`, or `group_id@occurrence`. Two different events never share one: a backslash stands before
 * what would be taken for a separator. It is the last `_` without one that ends the group.
 */
export function eventKey(group: string, id: EventId, occurrence: string | number | undefined): string {
  const key = `${groupText(group)}_${idText(Array.isArray(id) ? (id as unknown[]) : [id])}`;
  return occurrence === undefined ? key : `${key}@${escape(String(occurrence), IN_OCCURRENCE)}`;
}

/** The id of an event within its key, its parts joined by commas. */
export const idText = (parts: readonly unknown[]): string => parts.map((part) => escape(String(part), IN_ID)).join(',');

/** The text of the id in a key that {@link eventKey} made for a group; undefined where the key is not of that kind. */
export function idTextIn(group: string, key: string): string | undefined {
  const start = `${groupText(group)}_`;
  return key.startsWith(start) ? /^(?:[^\\@]|\\.)*/s.exec(key.slice(start.length))![0] : undefined;
}

const groupText = (group: string): string => escape(group, IN_GROUP);

// Most have nothing to escape.
const escape = (text: string, separators: RegExp): string => text.replace(separators, '\\$&');
