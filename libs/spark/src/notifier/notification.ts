import type { Work } from './notifier.js';

/** What a process sends to others. */
export interface Notification {
  readonly from: string;
  readonly work: Work;
  /** Whether it was sent to one process, which passes on what it has no place for. */
  readonly isAlone: boolean;
}

// PostgreSQL takes less than 8,000 bytes.
const LONGEST = 7_900;

/** The text of a notification. Processes of the release before read `rechecks`, and whether `deliveries` is false. */
export function writeNotification({ from, work: { rechecks, deliveries }, isAlone }: Notification): string {
  const write = (names: readonly string[] | boolean) =>
    // The database may have another encoding than UTF-8.
    JSON.stringify({ from, rechecks, deliveries: names, ...(isAlone ? { isAlone } : {}) }).replace(
      /[^\x20-\x7e]/gu,
      escaped,
    );
  const text = write(deliveries === 'all' || (deliveries.length > 0 && deliveries));
  return text.length > LONGEST ? write(true) : text;
}

/** Reads a notification. Any role of the database can send one, so a text that cannot be read counts as "there may be work". */
export function readNotification(text: string | undefined): Notification {
  const { from, rechecks, deliveries, isAlone } = parsed(text);
  return {
    from: String(from),
    work: { rechecks: rechecks !== false, deliveries: deliveries === false ? [] : namesOf(deliveries) },
    isAlone: isAlone === true,
  };
}

function parsed(text: string | undefined): Record<string, unknown> {
  try {
    return Object(JSON.parse(text ?? '')) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const namesOf = (given: unknown): readonly string[] | 'all' =>
  Array.isArray(given) && given.every((name) => typeof name === 'string') ? given : 'all';

const escaped = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
  ).join('');
