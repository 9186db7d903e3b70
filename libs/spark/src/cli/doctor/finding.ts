/** What a check has found. */
export interface Found {
  /** `error` is something that is off, and `warning` something to know. */
  readonly status: 'ok' | 'warning' | 'error';
  /** What was found, in sentences. Names in it are as they are stored. */
  readonly found: string;
  /** What to do; undefined if there is nothing to do. */
  readonly advice: string | undefined;
}

/** What a check has found, with the name of the check. */
export interface Finding extends Found {
  readonly check: string;
}

export const ok = (found: string): Found => ({ status: 'ok', found, advice: undefined });

export const warning = (found: string, advice: string): Found => ({ status: 'warning', found, advice });

export const error = (found: string, advice: string): Found => ({ status: 'error', found, advice });

const MOST_NAMES = 5;

/** Names for a sentence. Those beyond the fifth are counted. */
export function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMES;
  return more > 0 ? `${names.slice(0, MOST_NAMES).join(', ')} and ${more} more` : names.join(', ');
}

/** An instant for a sentence. */
export const at = (instant: Date): string => instant.toISOString().replace('.000Z', 'Z');

/** A name as one word of a command that a person may copy into a shell. */
export const shellWord = (name: string): string =>
  /^[\w.:@/][\w.:@/-]*$/.test(name) ? name : `'${name.replaceAll("'", String.raw`'\''`)}'`;
