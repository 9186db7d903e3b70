import { types } from 'node:util';
import { durationIn } from '../config/option-parsers.js';
import type { Duration } from '../config/spark.options.js';
import { got, messageOf } from '../error/wording.js';
import { CronFlaw } from './cron-fields.js';
import { CronSchedule } from './cron-schedule.js';
import type { Series } from './series.js';

/** When an event repeats. Options of `sparkEvent` make it. */
export interface EventSchedule {
  /** A duration, or a cron expression. */
  readonly every?: Duration | null;
  /** The first instant, or the earliest of a cron expression. */
  readonly from?: Date | null;
  /** The time zone of a cron expression: an IANA name. Default: UTC. */
  readonly timeZone?: string | null;
  /** Which instants happen that were missed: the latest one, or all of them, up to 1,000. Default: `'latest'`. */
  readonly catchUp?: 'latest' | 'all';
}

// Cron has minutes, too. Each occurrence costs an event, a recheck and its deliveries.
const SHORTEST = 60_000;
const MINUTES_AT_LEAST = 'a duration of a minute or more';
const EVERY_ADVICE =
  `Give sparkEvent ${MINUTES_AT_LEAST}, such as '7d', or a cron expression of five fields such as '0 9 * * MON', or ` +
  'null for "never".';
const FROM_ADVICE = 'Give sparkEvent the Date at which the event begins to repeat, or null for "never".';
const ZONE_ADVICE = `Give sparkEvent the name of a time zone such as 'Europe/Berlin', or leave it out for UTC.`;
const CATCH_UP_ADVICE = `Give sparkEvent 'latest' or 'all', or leave it out for 'latest'.`;

const [EARLIEST, LATEST] = [Date.parse('0001-01-01T00:00:00Z'), Date.parse('+010000-01-01T00:00:00Z')];

/** Whether a schedule has no instants, because its date or its interval is not set. */
export const isUnset = (schedule: EventSchedule): boolean => isNull(schedule, 'every') || isNull(schedule, 'from');

/**
 * Returns why the instants of a schedule cannot be computed, and what to do about it, as the end of a sentence; undefined if they can.
 * Call it with a schedule that is not {@link isUnset}.
 */
export function flawInSchedule(schedule: EventSchedule): string | undefined {
  const { every, from, timeZone = null, catchUp } = schedule;
  if (!('every' in schedule)) {
    const [option] = Object.keys(schedule);
    return `its ${option} is set without every. ${EVERY_ADVICE}`;
  }
  if (!('from' in schedule)) return `it repeats without a from. ${FROM_ADVICE}`;
  if (!types.isDate(from)) return `its from is ${got(from)}, not a Date. ${FROM_ADVICE}`;
  const time = from.getTime();
  // This also refuses an invalid Date.
  if (!(time >= EARLIEST && time < LATEST))
    return `its from is an invalid Date, or not in the years 1 to 9999. ${FROM_ADVICE}`;
  if (catchUp !== undefined && catchUp !== 'latest' && catchUp !== 'all')
    return `its catchUp is ${got(catchUp)}. ${CATCH_UP_ADVICE}`;
  return isCron(every) ? flawInCron(every, timeZone) : flawInInterval(every, timeZone);
}

/** The instants of a schedule in which {@link flawInSchedule} finds nothing, before an end. */
export class Instants implements Series {
  private readonly series: Series;
  private readonly from: number;

  /** @param end where they end, exclusive. Default: with the last year that a Date writes with four digits */
  constructor(
    { every, from, timeZone }: EventSchedule,
    private readonly end: number = LATEST,
  ) {
    this.from = from!.getTime();
    this.series = isCron(every)
      ? CronSchedule.of(every, timeZone ?? 'UTC')
      : new Interval(this.from, durationIn(every)!);
  }

  latest(upTo: number): number | undefined {
    if (upTo < this.from) return undefined;
    const latest = this.series.latest(Math.min(upTo, this.end - 1));
    return latest !== undefined && latest >= this.from ? latest : undefined;
  }

  next(after: number): number | undefined {
    const next = this.series.next(Math.max(after, this.from - 1));
    return next !== undefined && next < this.end ? next : undefined;
  }

  has(instant: number): boolean {
    return this.latest(instant) === instant;
  }

  /** The latest instants up to another one, in order. */
  last(count: number, upTo: number): number[] {
    const instants: number[] = [];
    let one = this.latest(upTo);
    while (one !== undefined) {
      instants.push(one);
      // To step back further than needed would take a cron expression away from the instants that it remembers.
      one = instants.length < count ? this.latest(one - 1) : undefined;
    }
    return instants.toReversed();
  }
}

/** Instants that are equally far apart. Days of it have 24 hours, whatever the clocks do. */
class Interval implements Series {
  constructor(
    private readonly from: number,
    private readonly length: number,
  ) {}

  latest(upTo: number): number {
    return this.from + Math.floor((upTo - this.from) / this.length) * this.length;
  }

  next(after: number): number {
    return this.latest(after) + this.length;
  }
}

/** Five or six parts, or a name such as `@daily`. A duration has two parts at most. */
const isCron = (every: unknown): every is string => typeof every === 'string' && /^\s*(@|\S+(\s+\S+){3,})/.test(every);

function flawInCron(every: string, timeZone: unknown): string | undefined {
  if (timeZone !== null && typeof timeZone !== 'string') return `its timeZone is ${got(timeZone)}. ${ZONE_ADVICE}`;
  try {
    CronSchedule.of(every, timeZone ?? 'UTC');
    return undefined;
  } catch (error) {
    if (error instanceof CronFlaw) return `its every, ${got(every)}, ${messageOf(error)}. ${EVERY_ADVICE}`;
    return `its timeZone is ${got(timeZone)}, which does not exist. ${ZONE_ADVICE}`;
  }
}

function flawInInterval(every: unknown, timeZone: unknown): string | undefined {
  const length = durationIn(every);
  if (length === undefined || !Number.isInteger(length)) return `its every is ${got(every)}. ${EVERY_ADVICE}`;
  // The parser takes a year for 365.25 days, and M for minutes.
  if (typeof every === 'string' && /(\d\s*y(ea)?r?s?|M)\s*$/.test(every))
    return `its every is ${got(every)}: months and years have no fixed length. Give sparkEvent a cron expression such as '0 9 1 * *'.`;
  if (length < SHORTEST) return `its every is ${got(every)}, which is less than a minute. ${EVERY_ADVICE}`;
  if (timeZone !== null)
    return (
      `it has a timeZone, and its every is ${got(every)}, which is the same time in all zones. Leave timeZone out, or repeat it by ` +
      `the local time, with a cron expression such as '0 9 * * MON'.`
    );
  return undefined;
}

const isNull = (schedule: EventSchedule, option: 'every' | 'from'): boolean =>
  option in schedule && (schedule[option] === null || schedule[option] === undefined);
