import { inspect, types } from 'node:util';

/** One thrown value as text: its message, and where it was thrown. */
interface Part {
  /** The words that connect it to the error before it. */
  readonly link: string;
  readonly head: string;
  /** The name of an error; undefined for any other value. */
  readonly name?: string;
  readonly message: string;
  /** The code of an error, such as `ECONNREFUSED`. */
  readonly code?: string | number;
  /** The lines of its stack. */
  readonly frames: readonly string[];
}

// In characters.
const LONGEST = { row: 10_000, line: 1_000, lines: 4_000, name: 300, field: 2_000 };
const FRAMES = { row: 50, lines: 8, field: 20 };
// How many errors are shown, causes and inner errors included.
const MOST_PARTS = 12;
const UNREADABLE = 'something was thrown that cannot be shown as text';

/**
 * The text of a thrown value for a row: the stack of an error with its causes, or any other value as text. It has at most
 * 10,000 characters, without NUL and lone surrogates, which databases refuse. It never throws.
 */
export function textOf(thrown: unknown): string {
  const parts = partsOf(thrown);
  const texts = parts.map(({ link, head, frames }) => [link + head, ...frames.slice(0, FRAMES.row)].join('\n'));
  return storable(share(texts, LONGEST.row, '\n'));
}

/**
 * The text of a thrown value for one line of a log: the messages of an error and its causes. It has at most 1,000 printable characters.
 * It never throws.
 */
export function lineOf(thrown: unknown): string {
  const texts = partsOf(thrown).map(({ link, head }) => link.toLowerCase() + printable(head));
  return share(texts, LONGEST.line, '; ');
}

/**
 * The text of a thrown value for a few lines of a log, with the upper part of each stack. It has at most 4,000 printable characters. It
 * never throws.
 */
export function linesOf(thrown: unknown): string {
  const texts = partsOf(thrown).map(({ link, head, frames }) =>
    [link + printable(head), ...frames.slice(0, FRAMES.lines).map(printable)].join('\n'),
  );
  return share(texts, LONGEST.lines, '\n');
}

/** A thrown value as an object for machines. */
export interface ErrorFields {
  /** The name of an error; left out for any other value. */
  readonly name?: string;
  readonly message: string;
  readonly code?: string | number;
  readonly stack?: string;
  /** Its causes and inner errors, from the outermost to the innermost, as text of a line has them. */
  readonly causes?: readonly ErrorFields[];
}

/**
 * A thrown value as an object for machines: an error with its causes, at most 12 errors. Each text has at most 2,000 characters, and a stack
 * has 20 frames. It never throws.
 */
export function fieldsOf(thrown: unknown): ErrorFields {
  const [first, ...causes] = partsOf(thrown).map(({ name, message, code, frames }): ErrorFields => {
    const said = cut(message.slice(0, LONGEST.field + 1), LONGEST.field).toWellFormed();
    const stack = cut(frames.slice(0, FRAMES.field).join('\n'), LONGEST.field);
    return {
      ...(name !== undefined && { name: cut(name, LONGEST.name).toWellFormed() }),
      message: said,
      ...(code !== undefined && { code }),
      ...(stack !== '' && { stack }),
    };
  });
  return causes.length > 0 ? { ...first!, causes } : first!;
}

/** A key, a group, an id or a name for log lines. Characters that cannot be printed are escaped, and long text is cut. */
export function shown(name: unknown): string {
  const text = typeof name === 'string' ? name : safely(() => String(name), 'something that cannot be shown as text');
  return cut(printable(text.slice(0, LONGEST.name + 1)), LONGEST.name);
}

function partsOf(thrown: unknown): Part[] {
  const parts: Part[] = [];
  collect(thrown, '', parts, new Set());
  return parts;
}

function collect(thrown: unknown, link: string, parts: Part[], seen: Set<unknown>): void {
  if (parts.length >= MOST_PARTS || seen.has(thrown)) return;
  if (!safely(() => types.isNativeError(thrown) || thrown instanceof Error, false)) {
    const message = safely(() => valueText(thrown), UNREADABLE);
    parts.push({ link, head: message, message, frames: [] });
    return;
  }
  seen.add(thrown);
  const error = thrown as Error;
  parts.push({ link, ...stackOf(error) });
  const cause = safely(() => error.cause, undefined);
  if (cause !== undefined && cause !== null) collect(cause, 'Caused by: ', parts, seen);
  const errors = safely(() => (error as Partial<AggregateError>).errors, undefined);
  if (safely(() => Array.isArray(errors), false))
    for (let i = 0; i < MOST_PARTS; i++) {
      const inner: unknown = safely(() => (i in errors! ? (errors![i] as unknown) : undefined), undefined);
      if (inner !== undefined) collect(inner, 'One of its errors: ', parts, seen);
    }
}

function stackOf(error: Error): Omit<Part, 'link'> {
  const said: unknown = safely(() => error.message, UNREADABLE);
  const message = safely(() => bounded(said), UNREADABLE);
  const name = safely(() => bounded(error.name), 'Error');
  const code = codeOf(error);
  const part = {
    head: message === '' ? name : `${name}: ${message}`,
    name,
    message,
    ...(code !== undefined && { code }),
  };
  const stack = safely(() => error.stack, undefined);
  if (typeof stack !== 'string') return { ...part, frames: [] };
  // The stack begins with the message, whose lines may look like frames.
  const start = typeof said === 'string' && stack.includes(said) ? stack.indexOf(said) + said.length : 0;
  const frames = stack.slice(start, start + LONGEST.row).split('\n');
  return { ...part, frames: frames.filter((line) => /^\s+at /.test(line)) };
}

function codeOf(error: Error): string | number | undefined {
  const code: unknown = safely(() => (error as { code?: unknown }).code, undefined);
  if (typeof code === 'number') return code;
  return typeof code === 'string' ? cut(code, LONGEST.name).toWellFormed() : undefined;
}

function valueText(value: unknown): string {
  if (typeof value === 'string') return bounded(value);
  return bounded(inspect(value, { depth: 2, maxStringLength: 500, maxArrayLength: 20 }));
}

// Cuts first, so that a very long text costs no more than the part that is shown.
function bounded(text: unknown): string {
  const all = typeof text === 'string' ? text : String(text);
  return cut(all, LONGEST.row);
}

function cut(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
}

/** Joins texts and cuts long ones, so that each text gets its share of the space. */
function share(texts: readonly string[], longest: number, separator: string): string {
  let left = longest - separator.length * (texts.length - 1);
  return texts
    .map((text, i) => {
      const short = cut(text, Math.max(1, Math.floor(left / (texts.length - i))));
      left -= short.length;
      return short;
    })
    .join(separator);
}

const storable = (text: string): string => text.replaceAll('\0', '\\0').slice(0, LONGEST.row).toWellFormed();

// Control characters (a new line, the ESC of a terminal), line and paragraph separators, and marks that change the direction of text.
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;
const SHORT: Record<string, string> = { '\n': String.raw`\n`, '\r': String.raw`\r`, '\t': String.raw`\t` };

/** Text for a terminal: characters that cannot be printed are escaped, new lines too. */
export function printable(text: string): string {
  return text.toWellFormed().replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0);
    if (SHORT[character] !== undefined) return SHORT[character];
    const hex = code.toString(16);
    return code < 256 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`;
  });
}

function safely<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
