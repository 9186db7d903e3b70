import { CronTime } from 'cron';

const DAY = 86_400_000;
const MINUTE = 60_000;
// A 29th of February may be eight years away from the next one.
const MOST_DAYS = 9 * 366;
// In characters.
const LONGEST = 200;

/** A cron expression that cannot be used. The message ends a sentence. */
export class CronFlaw extends Error {}

/** The values that `cron` has parsed: a property for each value of a field. Its version is fixed, as they are not part of its API. */
type Parsed = Readonly<Record<'second' | 'minute' | 'hour' | 'dayOfMonth' | 'month' | 'dayOfWeek', object>>;

/**
 * The local times of a cron expression, to the minute. The package `cron` parses it. If both the day of the month and the day of the week
 * are restricted, a day matches if one of the two does, as in any cron.
 */
export class CronFields {
  /** The times of a day, in milliseconds from its begin. */
  private readonly times: readonly number[];
  private readonly months: ReadonlySet<number>;
  private readonly daysOfMonth: ReadonlySet<number>;
  private readonly daysOfWeek: ReadonlySet<number>;

  /** @throws CronFlaw when the expression cannot be parsed, has seconds, or never comes */
  constructor(expression: string) {
    const fields = parse(expression);
    const [seconds, minutes, hours] = [valuesOf(fields.second), valuesOf(fields.minute), valuesOf(fields.hour)];
    if (seconds.length !== 1 || seconds[0] !== 0)
      throw new CronFlaw('has seconds, and an event repeats each minute at most');
    this.times = hours.flatMap((hour) => minutes.map((minute) => (hour * 60 + minute) * MINUTE));
    this.months = new Set(valuesOf(fields.month));
    this.daysOfMonth = new Set(valuesOf(fields.dayOfMonth));
    this.daysOfWeek = new Set(valuesOf(fields.dayOfWeek));
    if (this.after(0) === undefined) throw new CronFlaw('never comes');
  }

  /** The first local time after another one, as epoch milliseconds in UTC; undefined if there is none for years. */
  after(local: number): number | undefined {
    const today = dayOf(local);
    const time = this.times[this.countUpTo(local - today)];
    if (time !== undefined && this.matches(today)) return today + time;
    const day = this.matchingDay(today, DAY);
    return day === undefined ? undefined : day + this.times[0]!;
  }

  /** The last local time up to another one, as epoch milliseconds in UTC; undefined if there was none for years. */
  upTo(local: number): number | undefined {
    const today = dayOf(local);
    const time = this.times[this.countUpTo(local - today) - 1];
    if (time !== undefined && this.matches(today)) return today + time;
    const day = this.matchingDay(today, -DAY);
    return day === undefined ? undefined : day + this.times.at(-1)!;
  }

  /** How many times of a day there are up to one. */
  private countUpTo(time: number): number {
    let [low, high] = [0, this.times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle]! <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private matchingDay(from: number, step: number): number | undefined {
    for (let day = from + step, left = MOST_DAYS; left > 0; day += step, left--) if (this.matches(day)) return day;
    return undefined;
  }

  private matches(day: number): boolean {
    const date = new Date(day);
    if (!this.months.has(date.getUTCMonth() + 1)) return false;
    const isInMonth = this.daysOfMonth.has(date.getUTCDate());
    const isInWeek = this.daysOfWeek.has(date.getUTCDay());
    const isEither = this.daysOfMonth.size < 31 && this.daysOfWeek.size < 7;
    return isEither ? isInMonth || isInWeek : isInMonth && isInWeek;
  }
}

const dayOf = (local: number): number => Math.floor(local / DAY) * DAY;

const valuesOf = (field: object): number[] =>
  Object.keys(field)
    .map(Number)
    .sort((a, b) => a - b);

function parse(expression: string): Parsed {
  if (expression.length > LONGEST) throw new CronFlaw(`is longer than ${LONGEST} characters`);
  try {
    return new CronTime(expression.trim(), 'UTC') as unknown as Parsed;
  } catch (error) {
    throw new CronFlaw(`cannot be parsed (${(error as Error).message})`);
  }
}
