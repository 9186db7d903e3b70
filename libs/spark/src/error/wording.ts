const SHOWN_CHARACTERS = 60;

/** Text for messages: in quotes, with unprintable characters escaped, and cut if it is long. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text);
}

/** A value that the application passed, in words for a message. It never throws. */
export function got(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
    return withArticle(classOf(value));
  } catch {
    return 'an unreadable object';
  }
}

/** The name of a value's class; `object` for plain objects and anonymous classes. */
export function classOf(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name !== '' && name !== 'Object' ? name : 'object';
}

/** A name after `a` or `an`. */
export function withArticle(name: string): string {
  return `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name}`;
}

/** The message of a thrown value. It never throws. */
export function messageOf(thrown: unknown): string {
  try {
    const said: unknown = thrown instanceof Error ? thrown.message : got(thrown);
    return typeof said === 'string' ? said : got(said);
  } catch {
    return 'an unreadable error';
  }
}
