import { types } from 'node:util';
import { flawInMetadata, METADATA_ADVICE } from './event-metadata.js';
import { flawInSchedule, isUnset, type EventSchedule } from './schedule.js';
import { flawInTrueFor } from './true-for.js';
import { flawIn, isIdPart, type Flaw } from './spark-event.js';
import { got, messageOf, quoted } from '../error/wording.js';

/** The verdict on an event whose date is not set: it is left out, and nothing is logged. */
export const NEVER = 'never';

const LONGEST = { group: 100, key: 255 };
// The instant in the key of an event that repeats.
const INSTANT = '@2026-06-01T12:00:00.000Z'.length;
const ADVICE = {
  group: `Give sparkEvent a group of 1 to ${LONGEST.group} characters.`,
  key: `Give sparkEvent an id, or a key of its own, that makes a key of 1 to ${LONGEST.key} characters.`,
  id: 'Give sparkEvent text, a finite number up to 2^53 − 1, a bigint or a list of these; is the entity saved already?',
  occurrence: 'Give sparkEvent text or a finite number, or leave it out.',
  at: 'Give sparkEvent a valid Date, null for "never", or leave it out for "now".',
  until: 'Give sparkEvent a valid Date after its at or from, or leave it out.',
  every:
    'Leave occurrence out: each instant of every is an occurrence of its own. If it is to repeat by other values, leave every out.',
  lasting: {
    at: 'Leave at out: the event becomes true so long after its source has begun to yield it. For an event at a date, leave trueFor out.',
    every:
      'Leave every and from out: the event happens once when its condition has lasted so long. If it is to repeat, leave trueFor out, and ' +
      'give sparkEvent the date at which its condition began as from.',
  },
  both: 'Leave at out, and give sparkEvent the first instant as from. Or leave every and from out, if the event is to happen once.',
};

/**
 * Checks whether an event can be entered. It never throws.
 *
 * @returns undefined if it can; {@link NEVER} if its date is not set; otherwise the reason and what to do about it, as the end of a
 * sentence
 *
 * @example
 * checkEvent(sparkEvent('', 7)); // 'its group is empty. Give sparkEvent a group of 1 to 100 characters.'
 */
export function checkEvent(event: unknown): string | undefined {
  try {
    return verdictOn(event);
  } catch (error) {
    return `it cannot be read (${messageOf(error)}). Yield what sparkEvent() returns.`;
  }
}

/** Whether a value can be the group of an event. */
export const isGroup = (group: unknown): boolean => checkText('group', group) === undefined;

function verdictOn(event: unknown): string | undefined {
  if (!isEvent(event)) return `it is ${got(event)}, not an event. Yield what sparkEvent() returns.`;
  // sparkEvent gives no key if it could make none.
  const flaw = event.key === '' ? flawIn(event) : undefined;
  return (
    checkText('group', event.group) ??
    (flaw && wordsFor(flaw)) ??
    checkText('key', event.key) ??
    checkTrueFor(event) ??
    checkTimes(event) ??
    checkSchedule(event) ??
    checkMetadata(event.metadata)
  );
}

/** An event before it is checked. */
interface Unchecked {
  readonly group?: unknown;
  readonly key?: unknown;
  readonly at?: unknown;
  readonly until?: unknown;
  readonly schedule?: EventSchedule;
  readonly trueFor?: unknown;
  readonly metadata?: unknown;
}

function isEvent(event: unknown): event is Unchecked {
  return typeof event === 'object' && event !== null && ('group' in event || 'key' in event);
}

function checkText(name: 'group' | 'key', text: unknown): string | undefined {
  const flaw = flawInText(text, LONGEST[name]);
  return flaw && `its ${name} ${flaw}. ${ADVICE[name]}`;
}

function flawInText(text: unknown, longest: number): string | undefined {
  if (typeof text !== 'string') return `is ${got(text)}, not text`;
  if (text === '') return 'is empty';
  if (isLonger(text, longest)) return `is longer than ${longest} characters (${quoted(text)})`;
  if (text.includes('\0')) return `holds a NUL character (${quoted(text)}), which databases refuse`;
  if (!text.isWellFormed()) return `holds half of a surrogate pair (${quoted(text)}), which databases refuse`;
  return undefined;
}

// Databases count characters, not UTF-16 units: an emoji is one.
function isLonger(text: string, longest: number): boolean {
  if (text.length <= longest) return false;
  return text.length > 2 * longest || Array.from(text).length > longest;
}

function wordsFor({ part, value }: Flaw): string {
  if (part === 'every') return `it has an occurrence, ${got(value)}, and every. ${ADVICE.every}`;
  if (part === 'options') return `its input cannot be read (${messageOf(value)}). Give sparkEvent plain values.`;
  return `its ${part} is ${part === 'id' ? gotId(value) : got(value)}. ${ADVICE[part]}`;
}

function gotId(id: unknown): string {
  if (!Array.isArray(id) || id.length === 0) return got(id);
  const parts: unknown[] = Array.from(id);
  return `a list that holds ${got(parts.find((part) => !isIdPart(part)))}`;
}

function checkTrueFor(event: Unchecked): string | undefined {
  if (!('trueFor' in event)) return undefined;
  if ('at' in event) return `it has both at and trueFor. ${ADVICE.lasting.at}`;
  if (event.schedule !== undefined) return `it has both every and trueFor. ${ADVICE.lasting.every}`;
  const { trueFor } = event;
  return trueFor === undefined || trueFor === null ? NEVER : flawInTrueFor(trueFor);
}

function checkTimes(event: { at?: unknown; until?: unknown; schedule?: unknown }): string | undefined {
  const { at, until, schedule } = event;
  if ('at' in event && schedule !== undefined) return `it has both at and every. ${ADVICE.both}`;
  if ('at' in event && (at === undefined || at === null)) return NEVER;
  const flaw = checkDate('at', at) ?? checkDate('until', until);
  if (flaw !== undefined || !types.isDate(until)) return flaw;
  const isOrdered = !types.isDate(at) || at < until;
  return isOrdered ? undefined : `its until is not after its at. ${ADVICE.until}`;
}

function checkSchedule({ schedule, key, until }: Unchecked): string | undefined {
  if (schedule === undefined) return undefined;
  if (isUnset(schedule)) return NEVER;
  const flaw = flawInSchedule(schedule);
  if (flaw !== undefined) return flaw;
  if (isLonger(key as string, LONGEST.key - INSTANT))
    return `its key leaves no place for the instants of every. ${ADVICE.key.replace(String(LONGEST.key), String(LONGEST.key - INSTANT))}`;
  const isOrdered = !types.isDate(until) || schedule.from! < until;
  return isOrdered ? undefined : `its until is not after its from. ${ADVICE.until}`;
}

function checkMetadata(metadata: unknown): string | undefined {
  const flaw = flawInMetadata(metadata);
  return flaw && `its ${flaw}. ${METADATA_ADVICE}`;
}

function checkDate(name: 'at' | 'until', date: unknown): string | undefined {
  if (date === undefined) return undefined;
  if (!types.isDate(date)) return `its ${name} is ${got(date)}, not a Date. ${ADVICE[name]}`;
  return Number.isNaN(date.getTime()) ? `its ${name} is an invalid Date. ${ADVICE[name]}` : undefined;
}
