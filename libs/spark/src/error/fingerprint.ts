import { createHash } from 'node:crypto';

// In characters. What `textOf` gives is as long at most.
const LONGEST = { text: 10_000, said: 500 };
const DIGITS = 16;

/**
 * A short name for a kind of error, 16 hexadecimal digits: the same on each machine and for all ids in the message. It is made of the
 * name and the message of the error and of its causes, without the parts that differ from case to case, and of the function and the
 * file that threw it.
 *
 * It uses the text that `textOf` returns, not the thrown value. So reasons that were not thrown have a fingerprint, too, hostile values
 * are not read again, and the row has all that the fingerprint is made of.
 */
export function fingerprintOf(text: string): string {
  const lines = text.slice(0, LONGEST.text).split('\n');
  const kind = [...said(lines).map(normalised), topFrame(lines) ?? ''].join('\n');
  return createHash('sha256').update(kind).digest('hex').slice(0, DIGITS);
}

const isFrame = (line: string): boolean => /^\s+at /.test(line);
const CAUSE = 'Caused by: ';
// How many there are, and in which order, differs from case to case.
const INNER = 'One of its errors: ';

/** What the error says, and what each of its causes says. */
function said(lines: readonly string[]): string[] {
  const texts: string[] = [];
  let isOpen = false;
  for (const line of lines) {
    if (line.startsWith(INNER)) break;
    if (isFrame(line)) isOpen = false;
    else if (isOpen && !line.startsWith(CAUSE)) texts.push(`${texts.pop()}\n${line}`);
    else if (texts.length === 0 || line.startsWith(CAUSE)) {
      texts.push(line);
      isOpen = true;
    }
  }
  return texts;
}

const DAY = '(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*';
const MONTH = '(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*';
const TIME = String.raw`\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[ap]m\b)?`;
const ZONE = String.raw`(?: ?(?:z\b|utc\b|gmt\b)?(?:[+-]\d\d:?\d\d)?(?: \([^)\n]{0,60}\))?)?`;
const DATES = [
  String.raw`\d{4}-\d\d-\d\d(?:[t ]${TIME}${ZONE})?`,
  String.raw`(?:\b${DAY},? )?\b(?:\d{1,2} ${MONTH}|${MONTH} \d{1,2}),? \d{4}(?:,? ${TIME}${ZONE})?`,
  String.raw`\d{1,2}/\d{1,2}/\d{2,4}(?:,? ${TIME}${ZONE})?`,
  // Not the port of an address.
  String.raw`(?<![\d.:])${TIME}(?![\d:])`,
];

/** What differs from case to case, and what stands for it. What may hold another one comes first. */
const PLACEHOLDERS: readonly (readonly [RegExp, string])[] = [
  // A quote that nothing ends goes to the end: the text may have been cut.
  [/(?<![\p{L}\p{N}])"(?:[^"\\]|\\.)*(?:"|\\?$)/gsu, '<text>'],
  [/(?<![\p{L}\p{N}])'(?:[^']|'(?=[\p{L}\p{N}]))*(?:'|$)/gu, '<text>'],
  [/`[^`]*(?:`|$)/g, '<text>'],
  [/[“„«‘][^”“»’]*(?:[”“»’]|$)/g, '<text>'],
  [/[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g, '<mail>'],
  [new RegExp(DATES.join('|'), 'gi'), '<date>'],
  [/(?<![a-z\d])[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}(?![a-z\d])/gi, '#'],
  [/(?<![a-z\d])(?:0x[\da-f]+|(?=[a-z]*\d)(?:[\da-f]{6,}|[a-z\d]{16,}))(?![a-z\d])/gi, '#'],
  [/(?:(?<![\p{L}\p{N}_)\]])[+-])?\d+(?:[.,]\d+)*(?:e[+-]?\d+(?![a-z\d]))?/giu, '#'],
  // A list of ids, however many.
  [/#(?:,\s?#)+/g, '#'],
  [/<text>(?:,\s?<text>)+/g, '<text>'],
  [/\s+/g, ' '],
];

/** A message without what differs from case to case. */
function normalised(message: string): string {
  const text = PLACEHOLDERS.reduce((rest, [what, placeholder]) => rest.replace(what, placeholder), message);
  return text.trim().slice(0, LONGEST.said);
}

/** The function and the file of the application that the stack begins with. */
function topFrame(lines: readonly string[]): string | undefined {
  for (const line of lines) {
    if (line.startsWith(CAUSE) || line.startsWith(INNER)) return undefined;
    const frame = isFrame(line) ? frameOf(line) : undefined;
    if (frame !== undefined) return frame;
  }
  return undefined;
}

/**
 * A frame of the application without its line and its folder; undefined for one of Node or of a package. A compiled file is called
 * as the one that it was made of.
 */
function frameOf(line: string): string | undefined {
  const [, call, inBrackets, alone] = /^\s+at (?:async )?(?:(.*?) \((.*)\)|(.*))$/.exec(line) ?? [];
  const place = inBrackets ?? alone ?? '';
  if (/^node:|[\\/]node_modules[\\/]|<anonymous>/.test(place)) return undefined;
  const file = /([^\\/]+?)(?:\.[cm]?[jt]sx?)?(?:\?[^:]*)?:\d+(?::\d+)?$/.exec(place)?.[1];
  if (file === undefined) return undefined;
  return `${call?.replace(/ \[as .*\]$/, '') ?? ''} ${file}`;
}
