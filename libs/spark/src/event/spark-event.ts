import { types } from 'node:util';
import { sharedByCopies } from '../common/shared-by-copies.js';
import { type EventId, eventKey } from './event-key.js';
import type { EventMetadata } from './event-metadata.js';

/** Something that became true of the application's data. It exists once for each key, however often it is found. */
export interface SparkEvent<C = unknown, G extends string = string> {
  /** The kind of event, 1 to 100 characters. Patterns of handlers match it. */
  readonly group: G;
  /** Its key, 1 to 255 characters, unique among the events of all groups. */
  readonly key: string;
  /** The data that its handlers get. */
  readonly context: C;
  /** When it becomes true. Left out: at once. `null` or `undefined`: never. */
  readonly at?: Date;
  /** When the event expires: from then on it is neither entered nor handled. Left out: never. */
  readonly until?: Date;
  /** Plain data beside the context, such as a trace, a tenant or an actor. It is not part of the key. Default: none. */
  readonly metadata?: EventMetadata;
}

/** Options of an event. */
export interface SparkEventOptions {
  /** The whole key. Default: a key made of group, id and occurrence. */
  readonly key?: string;
  /** When the event becomes true. `null` and `undefined` mean never, so that a date that is not set causes no event. */
  readonly at?: Date | null;
  /** When the event expires: from then on it is neither entered nor handled. `null` and `undefined` mean never. */
  readonly until?: Date | null;
  /**
   * Distinguishes the repetitions of an event, such as the year of a birthday. It ends the key, after an `@`. The key has a backslash
   * before each `_` of it.
   */
  readonly occurrence?: string | number;
  /**
   * Plain data that handlers get as `event.metadata`: an object of at most 4,096 bytes of JSON. It does not decide whether the event is
   * new. Interceptors may add to it. Default: none.
   */
  readonly metadata?: EventMetadata;
}

/** A part of an event from which no key can be made. */
export interface Flaw {
  readonly part: 'id' | 'occurrence' | 'options';
  readonly value: unknown;
}

const flaws = sharedByCopies('flaws', () => new WeakMap<object, Flaw>());

/**
 * Describes an event. Yield it from a source, or pass it to `SparkService.emit`. It never throws, so that one bad event does not end a
 * source. If its input is invalid, Spark reports an InvalidEventError when it would enter the event.
 *
 * @param group the kind of event, 1 to 100 characters
 * @param id the id of the thing that the event is about: text, a finite number up to 2^53 − 1, a bigint, or a list of these
 * @param context the data that handlers get; entities in it are stored as references
 * @returns the event, with the key `group_id`, or `group_id@occurrence`; the parts of a composite id are joined by commas.
 *   The key has a backslash before each `_`, `@`, `,` and `\\` of an id, so that no two ids make the same key
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

/** The part from which {@link sparkEvent} could make no key, for the check that refuses the event. */
export function flawIn(event: object): Flaw | undefined {
  return flaws.get(event);
}

/** Whether a value can be an id, or a part of a composite one. */
export function isIdPart(value: unknown): value is string | number | bigint {
  if (typeof value === 'string' || typeof value === 'bigint') return true;
  // Above that, two ids may be the same number.
  return Number.isFinite(value) && Math.abs(value as number) <= Number.MAX_SAFE_INTEGER;
}

function flawOf(id: unknown, occurrence: unknown): Flaw | undefined {
  const isId = Array.isArray(id) ? id.length > 0 && Array.from(id).every(isIdPart) : isIdPart(id);
  if (!isId) return { part: 'id', value: id };
  if (occurrence !== undefined && !isIdPart(occurrence)) return { part: 'occurrence', value: occurrence };
  return undefined;
}

// A Date is copied, because a source may change one Date from event to event.
function copyOf(at: Date | null | undefined): Date | undefined {
  return types.isDate(at) ? new Date(at.getTime()) : (at ?? undefined);
}
