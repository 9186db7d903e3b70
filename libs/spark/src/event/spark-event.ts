import { types } from 'node:util';
import type { Duration } from '../config/spark.options.js';
import { sharedByCopies } from '../common/shared-by-copies.js';
import { type EventId, eventKey } from './event-key.js';
import type { EventMetadata } from './event-metadata.js';
import type { EventSchedule } from './schedule.js';

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
  /** When it becomes true again and again. Only events that a source yields have it: each instant is an event of its own, with an `at`. */
  readonly schedule?: EventSchedule;
  /** How long its source has to yield it without a break, before it becomes true. Only events that a source yields have it. */
  readonly trueFor?: Duration | null;
  /** When the event expires: from then on it is neither entered nor handled. Left out: never. */
  readonly until?: Date;
  /** Plain data beside the context, such as a trace, a tenant or an actor. It is not part of the key. Default: none. */
  readonly metadata?: EventMetadata;
  /** Its number: events that were entered later have higher ones. Only events that handlers get have it. */
  readonly id?: string;
  /** The entity that it came from. Only events that handlers get have it, and emitted ones have none. */
  readonly subject?: EventSubject;
  /** When it was entered. Only events that handlers get have it. */
  readonly recorded?: Date;
}

/** The entity that an event came from. */
export interface EventSubject {
  /** Its table, with the schema where the entity names one. */
  readonly entity: string;
  /** Its primary key as text. A composite one is a JSON array of texts. */
  readonly id: string;
}

/** Options of an event. */
export interface SparkEventOptions {
  /** The whole key. Default: a key made of group, id and occurrence. */
  readonly key?: string;
  /** When the event becomes true. `null` and `undefined` mean never, so that a date that is not set causes no event. */
  readonly at?: Date | null;
  /**
   * How often the event becomes true: a duration of a minute or more, in ms or as text such as `'7d'`, or a cron expression of five
   * fields such as `'0 9 * * MON'`. Each instant is an event of its own: its key ends with `@` and the instant in ISO form, and its `at`
   * is the instant. A day of a duration has 24 hours. Local times, such as each day at nine, need a cron expression and `timeZone`.
   * `null` and `undefined` mean never.
   */
  readonly every?: Duration | null;
  /**
   * With `every`, and needed there: the first instant of a duration, or the earliest of a cron expression, inclusive. If it is moved, the
   * instants move. `null` and `undefined` mean never, so that a date that is not set causes no event.
   */
  readonly from?: Date | null;
  /** The time zone of the cron expression of `every`: an IANA name such as `'Europe/Berlin'`. Default: UTC, on all machines. */
  readonly timeZone?: string | null;
  /**
   * With `every`: which instants happen that were missed while no process ran, or before the event was first found. `'latest'`: the
   * latest one. `'all'`: all of them, up to the latest 1,000. Default: `'latest'`.
   */
  readonly catchUp?: 'latest' | 'all';
  /**
   * How long the source has to yield the event without a break before it becomes true, in ms or as text such as `'15m'`: from a second to
   * 100 years. The time begins when Spark first finds the event, and begins again after each time that the source did not yield it. The
   * source must have `trueFor: true`. `at` and `every` cannot be set, too. `null` and `undefined` mean never.
   */
  readonly trueFor?: Duration | null;
  /**
   * When the event expires: from then on it is neither entered nor handled, and with `every`, it does not repeat any more. `null` and
   * `undefined` mean never.
   */
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
  readonly part: 'id' | 'occurrence' | 'options' | 'every';
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
 * yield sparkEvent('offline', device.id, { device }, { trueFor: '15m' }); // needs @EventSource(Device, { trueFor: true })
 * yield sparkEvent('overdue', invoice.id, { invoice }, { every: '7d', from: invoice.due }); // overdue_7@2026-06-01T12:00:00.000Z
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
    if (options && 'trueFor' in options) event.trueFor = options.trueFor;
    const schedule = options && scheduleOf(options);
    if (schedule) event.schedule = schedule;
    const flaw = flawOf(id, options?.occurrence, schedule);
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

function flawOf(id: unknown, occurrence: unknown, schedule: EventSchedule | undefined): Flaw | undefined {
  const isId = Array.isArray(id) ? id.length > 0 && Array.from(id).every(isIdPart) : isIdPart(id);
  if (!isId) return { part: 'id', value: id };
  if (occurrence !== undefined && schedule) return { part: 'every', value: occurrence };
  if (occurrence !== undefined && !isIdPart(occurrence)) return { part: 'occurrence', value: occurrence };
  return undefined;
}

/** The options that say when the event repeats, without those that are not given; undefined if it does not. */
function scheduleOf(options: SparkEventOptions): EventSchedule | undefined {
  let schedule: { -readonly [K in keyof EventSchedule]: EventSchedule[K] } | undefined;
  if ('every' in options) (schedule ??= {}).every = options.every;
  if ('from' in options) (schedule ??= {}).from = copyOf(options.from);
  if (options.timeZone !== undefined) (schedule ??= {}).timeZone = options.timeZone;
  if (options.catchUp !== undefined) (schedule ??= {}).catchUp = options.catchUp;
  return schedule;
}

// A Date is copied, because a source may change one Date from event to event.
function copyOf(at: Date | null | undefined): Date | undefined {
  return types.isDate(at) ? new Date(at.getTime()) : (at ?? undefined);
}
