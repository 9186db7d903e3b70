import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CronFlaw } from './cron-fields.js';
import { CronSchedule } from './cron-schedule.js';

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;

/** Parts of a local time. The day of the week begins with 0 on Sunday. */
interface Local {
  readonly month: number;
  readonly day: number;
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
}

/** Expressions, and what they mean in other words. */
const EXPRESSIONS: [expression: string, matches: (local: Local) => boolean][] = [
  ['30 2 * * *', ({ hour, minute }) => hour === 2 && minute === 30],
  ['0 0 * * *', ({ hour, minute }) => hour === 0 && minute === 0],
  ['@hourly', ({ minute }) => minute === 0],
  ['*/15 * * * *', ({ minute }) => minute % 15 === 0],
  ['* * * * *', () => true],
  ['0 9 * * MON', ({ weekday, hour, minute }) => weekday === 1 && hour === 9 && minute === 0],
  ['15 0-3 * * 6,7', ({ weekday, hour, minute }) => [0, 6].includes(weekday) && hour < 4 && minute === 15],
  ['0 12 31 * *', ({ day, hour, minute }) => day === 31 && hour === 12 && minute === 0],
  ['5 1 30 dec *', ({ month, day, hour, minute }) => month === 12 && day === 30 && hour === 1 && minute === 5],
  [
    '0 1,2 1-10 * 0',
    ({ day, weekday, hour, minute }) => (day < 11 || weekday === 0) && [1, 2].includes(hour) && minute === 0,
  ],
  ['59 23 1-30 * *', ({ day, hour, minute }) => day < 31 && hour === 23 && minute === 59],
  ['0 0-58/2 3 * * *', ({ hour, minute }) => hour === 3 && minute % 2 === 0],
];

/** Zones, and a day on which something happens to their clocks. */
const DAYS: [zone: string, day: string][] = [
  ['UTC', '2026-06-01'],
  ['Europe/Berlin', '2026-03-29'],
  ['Europe/Berlin', '2026-10-25'],
  ['America/New_York', '2026-03-08'],
  ['America/New_York', '2026-11-01'],
  ['Australia/Lord_Howe', '2026-04-05'],
  ['Australia/Lord_Howe', '2026-10-04'],
  ['Asia/Kolkata', '2026-03-29'],
  ['Asia/Kathmandu', '1986-01-01'],
  ['Pacific/Chatham', '2026-04-05'],
  ['Antarctica/Troll', '2026-03-29'],
  ['Antarctica/Troll', '2026-10-25'],
  // Clocks changed at midnight.
  ['America/Sao_Paulo', '2018-11-04'],
  ['America/Sao_Paulo', '2018-02-18'],
  ['Africa/Cairo', '2026-04-24'],
  ['Africa/Casablanca', '2026-02-15'],
  ['Africa/Casablanca', '2026-03-22'],
  // Days that were skipped.
  ['Pacific/Apia', '2011-12-30'],
  ['Pacific/Kwajalein', '1993-08-21'],
  // It went back by most of a day.
  ['Pacific/Kwajalein', '1969-10-01'],
];

/** An instant, and the local times that have come then for the first time. */
type Arrival = readonly [instant: number, locals: readonly Local[]];

/** Walks through the instants minute by minute. */
function arrivalsIn(timeZone: string, from: number, to: number): Arrival[] {
  const format = new Intl.DateTimeFormat('en', { timeZone, hourCycle: 'h23', dateStyle: 'short', timeStyle: 'short' });
  const localAt = (instant: number): number => {
    const { month, day, year, hour, minute } = Object.fromEntries(
      format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]),
    );
    // The year has two digits.
    return Date.UTC(year! < 50 ? 2000 + year! : 1900 + year!, month! - 1, day, hour, minute);
  };
  const arrivals: Arrival[] = [];
  // A day before, clocks may have gone back.
  const start = from - DAY - 2 * 60 * MINUTE;
  let reached = localAt(start);
  for (let instant = start + MINUTE; instant <= to; instant += MINUTE) {
    const locals: Local[] = [];
    for (const local = localAt(instant); reached < local; reached += MINUTE) locals.push(localOf(reached + MINUTE));
    if (instant >= from) arrivals.push([instant, locals]);
  }
  return arrivals;
}

function localOf(local: number): Local {
  const date = new Date(local);
  const [month, day, weekday] = [date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCDay()];
  return { month, day, weekday, hour: date.getUTCHours(), minute: date.getUTCMinutes() };
}

const those = (arrivals: readonly Arrival[], matches: (local: Local) => boolean): number[] =>
  arrivals.flatMap(([instant, locals]) => (locals.some(matches) ? [instant] : []));

function listed(schedule: CronSchedule, from: number, to: number): number[] {
  const instants: number[] = [];
  for (let next = schedule.next(from - 1)!; next <= to; next = schedule.next(next)!) {
    if (next <= (instants.at(-1) ?? -Infinity)) throw new Error(`${next} comes after ${instants.at(-1)}`);
    instants.push(next);
  }
  return instants;
}

/** At which times between the first instant and the last one a schedule does not say what lies around them. */
function wrongAt(schedule: CronSchedule, expected: readonly number[]): string[] {
  const wrong: number[] = [];
  for (const [i, next] of expected.entries()) {
    const latest = expected[i - 1];
    if (latest === undefined) continue;
    for (let time = latest; time < next; time += 7 * MINUTE)
      for (const one of [time, Math.min(time + 7 * MINUTE, next) - 1]) {
        // It remembers its last answer.
        schedule.latest(0);
        if (schedule.latest(one) !== latest || schedule.next(one) !== next) wrong.push(one);
      }
  }
  return text(wrong);
}

const text = (instants: readonly number[]) => instants.map((instant) => new Date(instant).toISOString());

describe('the instants of a cron expression', () => {
  it.each(DAYS)(
    'in %s around %s are those at which each local time has come',
    (zone, day) => {
      const [from, to] = [Date.parse(day) - DAY, Date.parse(day) + 2 * DAY];
      const arrivals = arrivalsIn(zone, from, to);
      for (const [expression, matches] of EXPRESSIONS) {
        const schedule = CronSchedule.of(expression, zone);
        const expected = those(arrivals, matches);
        expect([expression, ...text(listed(schedule, from, to))]).toEqual([expression, ...text(expected)]);
        expect(wrongAt(schedule, expected)).toEqual([]);
      }
    },
    60_000,
  );

  it('are these in any zone, at any time', () => {
    const when = fc.integer({ min: Date.parse('1980-01-01') / MINUTE, max: Date.parse('2038-01-01') / MINUTE });
    const zone = fc.constantFrom(...Intl.supportedValuesOf('timeZone'));
    const property = fc.property(zone, when, (name, minutes) => {
      const [from, to] = [minutes * MINUTE, minutes * MINUTE + 2 * DAY];
      const arrivals = arrivalsIn(name, from, to);
      for (const [expression, matches] of EXPRESSIONS)
        expect(text(listed(CronSchedule.of(expression, name), from, to))).toEqual(text(those(arrivals, matches)));
    });
    fc.assert(property, { numRuns: 30 });
  }, 60_000);

  it('have one instant for a local time that comes twice, the first', () => {
    const daily = CronSchedule.of('30 2 * * *', 'Europe/Berlin');
    expect(text(listed(daily, Date.parse('2026-10-24'), Date.parse('2026-10-27')))).toEqual([
      '2026-10-24T00:30:00.000Z',
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ]);
  });

  it('take a local time that does not exist at the next that does', () => {
    const daily = CronSchedule.of('30 2 * * *', 'Europe/Berlin');
    expect(text(listed(daily, Date.parse('2026-03-28'), Date.parse('2026-03-31')))).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
    const skipped = CronSchedule.of('0 9 30 12 *', 'Pacific/Apia');
    expect(text([skipped.next(Date.parse('2011-12-01'))!])).toEqual(['2011-12-30T10:00:00.000Z']);
  });

  it('are found over years', () => {
    const leap = CronSchedule.of('0 0 29 2 *', 'UTC');
    expect(text([leap.latest(Date.parse('1904-02-28'))!, leap.next(Date.parse('1896-03-01'))!])).toEqual([
      '1896-02-29T00:00:00.000Z',
      '1904-02-29T00:00:00.000Z',
    ]);
    expect(text([CronSchedule.of('0 0 1 1 *', 'UTC').latest(Date.parse('0001-06-01'))!])).toEqual([
      '0001-01-01T00:00:00.000Z',
    ]);
  });

  it('come at the second in zones that were not whole minutes away', () => {
    const monrovia = CronSchedule.of('0 12 * * *', 'Africa/Monrovia');
    expect(text([monrovia.next(Date.parse('1970-06-01'))!])).toEqual(['1970-06-01T12:44:30.000Z']);
  });

  it.each([
    ['0 9 * *', 'cannot be parsed (Too few fields)'],
    ['0 9 * * * * *', 'cannot be parsed (Too many fields)'],
    ['60 9 * * *', 'cannot be parsed (Field value (60) is out of range)'],
    ['* * * * * *', 'has seconds, and an event repeats each minute at most'],
    ['30 0 9 * * *', 'has seconds, and an event repeats each minute at most'],
    ['@secondly', 'has seconds, and an event repeats each minute at most'],
    ['0 0 30 2 *', 'never comes'],
  ])('cannot be found for %s: it %s', (expression, flaw) => {
    expect(() => CronSchedule.of(expression, 'UTC')).toThrow(new CronFlaw(flaw));
  });

  it('cannot be found in a zone that does not exist', () => {
    expect(() => CronSchedule.of('0 9 * * *', 'Europe/Atlantis')).toThrow(RangeError);
  });

  it('are found fast, for any number of entities', () => {
    const now = Date.parse('2026-06-01T12:00:00Z');
    const before = process.cpuUsage();
    for (let i = 0; i < 100_000; i++) {
      const schedule = CronSchedule.of('0 9 * * MON', 'Europe/Berlin');
      schedule.latest(now + (i % 1_000));
      schedule.next(now + (i % 1_000));
    }
    // It takes about 30 ms of this process, and ten seconds without what is remembered.
    expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
  });
});
