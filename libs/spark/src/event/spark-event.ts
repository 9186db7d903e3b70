import { types } from 'node:util';
import { sharedByCopies } from '../common/shared-by-copies.js';
import { type EventId, eventKey } from './event-key.js';
import type { EventMetadata } from './event-metadata.js';

/** Something that became true of the application's data. It exists once for each key, whoever finds it and how often. */
export interface SparkEvent<C = unknown> {
  /** What kind of event it is, 1 to 100 characters; handlers are chosen by it. */
  readonly group: string;
  /** What it is known by, 1 to 255 characters, among the events of all groups. */
  readonly key: string;
  /** What its handlers are given. */
  readonly context: C;
  /** When it becomes true. Left out: at once. Present without a date: never. */
  readonly at?: Date;
  /** When it stops being of use: from then on it is neither entered nor handled. Left out: never. */
  readonly until?: Date;
  /** Plain data beside the context, such as a trace, a tenant or an actor. It is no part of the key. Left out: there is none. */
  readonly metadata?: EventMetadata;
}

/** How an event differs from the plain "group of id, now". */
export interface SparkEventOptions {
  /** The whole key, in place of the one made from group, id and occurrence. */
  readonly key?: string;
  /** When the event becomes true. `null` and `undefined` mean never: a date that is not set fires nothing. */
  readonly at?: Date | null;
  /** When it is too late for it: from then on it is neither entered nor handled. `null` and `undefined`: it never is. */
  readonly until?: Date | null;
  /** Tells the repetitions of an event apart, such as the year of a birthday: it ends the key, after an `@`. A backslash stands before each `_` in it. */
  readonly occurrence?: string | number;
  /**
   * Plain data that handlers get as `event.metadata`: an object that JSON can hold, at most 4,096 bytes of it. It plays no part in
   * whether the event is new. Interceptors may add to it. Default: none.
   */
  readonly metadata?: EventMetadata;
}

/** The part of an event that no key can be made of. */
export interface Flaw {
  readonly part: 'id' | 'occurrence' | 'options';
  readonly value: unknown;
}

const flaws = sharedByCopies('flaws', () => new WeakMap<object, Flaw>());

/**
 * Describes an event; yield it from a source or give it to `SparkService.emit`. It never throws, so that one bad event does
 * not end a source: what is wrong with its input is said by an InvalidEventError when the event is entered.
 *
 * @param group the kind of event, 1 to 100 characters
 * @param id the id of what it is about: text, a finite number up to 2^53 − 1, a bigint, or a list of these
 * @param context what handlers are given; entities in it are stored as references
 * @returns the event, with the key `group_id`, or `group_id@occurrence`; the parts of a composite id are joined by commas.
 *   A backslash stands before each `_`, `@`, `,` and `\\` that an id holds, so that no two ids make one key
 *
 * @example
 * yield sparkEvent('challenge_ended', challenge.id, { challenge }, { at: challenge.endDate });
 * yield sparkEvent('reminder', meeting.id, { meeting }, { at: subHours(meeting.start, 1), until: meeting.start });
 * await spark.emit(sparkEvent('mail_bounced', bounce.id, { bounce }, { metadata: { tenant } }));
 * yield sparkEvent('birthday', person.id, { person }, { occurrence: now.getFullYear() }); // key: birthday_7@2026
 */
export function sparkEvent<C = undefined>(
  group: string,
  id: EventId,
  context?: C,
  options?: SparkEventOptions,
): SparkEvent<C> {
  const event: { -readonly [K in keyof SparkEvent<C>]: SparkEvent<C>[K] } = { group, key: '', context: context as C };
  try {
    if (options && 'at' in options) event.at = copyOf(options.at);
    if (options?.until !== undefined && options.until !== null) event.until = copyOf(options.until);
    if (options?.metadata !== undefined) event.metadata = options.metadata;
    const flaw = flawOf(id, options?.occurrence);
    if (flaw) flaws.set(event, flaw);
    else event.key = options?.key ?? eventKey(group, id, options?.occurrence);
  } catch (error) {
    flaws.set(event, { part: 'options', value: error });
  }
  return event;
}

/** What {@link sparkEvent} could not make a key of, for the check that refuses the event. */
export function flawIn(event: object): Flaw | undefined {
  return flaws.get(event);
}

/** Whether a value can be an id, or a part of a composite one. */
export function isIdPart(value: unknown): value is string | number | bigint {
  if (typeof value === 'string' || typeof value === 'bigint') return true;
  // Beyond that, two ids may be one number.
  return Number.isFinite(value) && Math.abs(value as number) <= Number.MAX_SAFE_INTEGER;
}

function flawOf(id: unknown, occurrence: unknown): Flaw | undefined {
  const isId = Array.isArray(id) ? id.length > 0 && Array.from(id).every(isIdPart) : isIdPart(id);
  if (!isId) return { part: 'id', value: id };
  if (occurrence !== undefined && !isIdPart(occurrence)) return { part: 'occurrence', value: occurrence };
  return undefined;
}

// A source may move one Date on from event to event.
function copyOf(at: Date | null | undefined): Date | undefined {
  return types.isDate(at) ? new Date(at.getTime()) : (at ?? undefined);
}
