import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { checkEvent, NEVER } from './event-check.js';
import { Instants } from './schedule.js';
import { sparkEvent, type SparkEventOptions } from './spark-event.js';

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;
const FROM = new Date('2026-06-01T12:00:00Z');

const text = (instants: readonly (number | undefined)[]) =>
  instants.map((instant) => (instant === undefined ? undefined : new Date(instant).toISOString()));

/** Some options, whatever their types. */
const verdictOn = (options: object) => checkEvent(sparkEvent('weekly', 7, undefined, options));

const { TZ } = process.env;

describe('the instants of an event that repeats', () => {
  afterEach(() => {
    if (TZ === undefined) delete process.env.TZ;
    else process.env.TZ = TZ;
  });

  it('begin with its from, and go on in equal distances', () => {
    const weekly = new Instants({ every: '7d', from: FROM });
    const at = (days: number) => FROM.getTime() + days * DAY;
    expect([-1, 0, 6.9, 7, 20].map((days) => weekly.latest(at(days)))).toEqual([
      undefined,
      at(0),
      at(0),
      at(7),
      at(14),
    ]);
    expect([-9, -0.1, 0, 6.9, 7].map((days) => weekly.next(at(days)))).toEqual([at(0), at(0), at(7), at(7), at(14)]);
    expect([-7, 0, 7, 7.1, 14].map((days) => weekly.has(at(days)))).toEqual([false, true, true, false, true]);
    expect(weekly.last(2, at(20))).toEqual([at(7), at(14)]);
    expect(weekly.last(9, at(-1))).toEqual([]);
  });

  it('end before the end', () => {
    const until = (end: number) => new Instants({ every: DAY, from: FROM }, FROM.getTime() + end);
    expect(text([until(2 * DAY).latest(Infinity), until(2 * DAY + 1).latest(Infinity)])).toEqual([
      '2026-06-02T12:00:00.000Z',
      '2026-06-03T12:00:00.000Z',
    ]);
    expect(text([until(2 * DAY).next(FROM.getTime() + DAY), until(2 * DAY + 1).next(FROM.getTime() + DAY)])).toEqual([
      undefined,
      '2026-06-03T12:00:00.000Z',
    ]);
  });

  it('of a cron expression are those from its from on', () => {
    const weekly = new Instants({ every: '0 9 * * MON', timeZone: 'Europe/Berlin', from: FROM });
    expect(weekly.latest(Date.parse('2026-06-08T06:59:59Z'))).toBeUndefined();
    expect(text([weekly.next(0), weekly.latest(Date.parse('2026-06-08T07:00Z'))])).toEqual([
      '2026-06-08T07:00:00.000Z',
      '2026-06-08T07:00:00.000Z',
    ]);
    expect(weekly.has(Date.parse('2026-06-01T07:00Z'))).toBe(false);
    const inclusive = new Instants({ every: '0 12 * * *', from: FROM });
    expect(inclusive.latest(FROM.getTime())).toBe(FROM.getTime());
  });

  it('are in UTC if there is no time zone, wherever the process is', () => {
    process.env.TZ = 'Asia/Tokyo';
    expect(new Date(0).getHours()).toBe(9);
    for (const timeZone of [undefined, null])
      expect(text([new Instants({ every: '0 9 * * *', from: FROM, timeZone }).next(FROM.getTime())])).toEqual([
        '2026-06-02T09:00:00.000Z',
      ]);
  });

  it('agree with each other, whatever they are', () => {
    const every = fc.constantFrom<string | number>(
      MINUTE,
      90_061,
      '1.5h',
      '7d',
      '* * * * *',
      '0 2 * * *',
      '30 2 29 2 1',
    );
    const timeZone = fc.constantFrom('Europe/Berlin', 'Australia/Lord_Howe', 'America/Sao_Paulo');
    const start = Date.parse('2000-01-01');
    const moment = fc.integer({ min: 0, max: 40 * 365 * DAY }).map((after) => start + after);
    const property = fc.property(every, timeZone, moment, moment, moment, (rhythm, zone, from, one, end) => {
      const isCron = typeof rhythm === 'string' && rhythm.includes(' ');
      const schedule = { every: rhythm, from: new Date(from), ...(isCron && { timeZone: zone }) };
      const instants = new Instants(schedule, end);
      const [latest, next] = [instants.latest(one), instants.next(one)];
      if (latest !== undefined) {
        expect(latest).toBeGreaterThanOrEqual(from);
        expect(latest).toBeLessThanOrEqual(one);
        expect(latest).toBeLessThan(end);
        expect(instants.has(latest)).toBe(true);
        expect(instants.next(latest)).toBe(next);
        expect(instants.next(latest - 1)).toBe(latest);
      }
      if (next !== undefined) {
        expect(next).toBeGreaterThan(one);
        expect(next).toBeGreaterThanOrEqual(from);
        expect(next).toBeLessThan(end);
        expect(instants.has(next)).toBe(true);
        expect(instants.latest(next - 1)).toBe(latest);
      }
    });
    fc.assert(property, { numRuns: 2_000 });
  });
});

describe('options of an event that repeats', () => {
  it.each<SparkEventOptions>([
    { every: '7d', from: FROM },
    { every: MINUTE, from: FROM, until: new Date(FROM.getTime() + 1), catchUp: 'all' },
    { every: '0 9 * * MON', from: FROM, timeZone: 'Europe/Berlin', catchUp: 'latest' },
    { every: '@daily', from: FROM, timeZone: null },
    // As CronExpression of @nestjs/schedule has them.
    { every: '0 */10 * * * *', from: FROM },
    { every: '5 minutes', from: FROM, timeZone: undefined, key: 'x'.repeat(230) },
  ])('may be %o', (options) => {
    expect(verdictOn(options)).toBeUndefined();
  });

  it.each([
    { every: null },
    { every: undefined, from: FROM },
    { every: '7d', from: null },
    { every: '7d', from: undefined },
  ])('mean never where what they need is not set: %o', (options) => {
    expect(verdictOn(options)).toBe(NEVER);
  });

  it.each([
    [{ every: '7d' }, 'it repeats without a from. Give sparkEvent the Date at which'],
    [{ every: '7d', from: 'today' }, 'its from is "today", not a Date. '],
    [{ every: '7d', from: new Date(NaN) }, 'its from is an invalid Date'],
    [{ every: '7d', from: new Date('+010000-01-01') }, 'its from is an invalid Date, or not in the years 1 to 9999. '],
    [
      { every: 'weekly', from: FROM },
      `its every is "weekly". Give sparkEvent a duration of a minute or more, such as '7d', or a cron`,
    ],
    [{ every: -1, from: FROM }, 'its every is -1. '],
    [{ every: 90_000.5, from: FROM }, 'its every is 90000.5. '],
    [{ every: '59s', from: FROM }, 'its every is "59s", which is less than a minute. '],
    [{ every: '1y', from: FROM }, 'its every is "1y": months and years have no fixed length. Give sparkEvent a cron'],
    [{ every: '2 years', from: FROM }, 'its every is "2 years": months and years have no fixed length. '],
    [{ every: '1M', from: FROM }, 'its every is "1M": months and years have no fixed length. '],
    [{ every: `0 9 ${'1,'.repeat(200)}1 * *`, from: FROM }, 'is longer than 200 characters'],
    [{ every: {}, from: FROM }, 'its every is an object. '],
    [{ every: '0 9 * *', from: FROM }, 'its every, "0 9 * *", cannot be parsed (Too few fields). '],
    [{ every: '0 9 * * FOO', from: FROM }, 'its every, "0 9 * * FOO", cannot be parsed (Unknown alias: foo). '],
    [{ every: '* * * * * *', from: FROM }, 'its every, "* * * * * *", has seconds, '],
    [{ every: '0 0 30 2 *', from: FROM }, 'its every, "0 0 30 2 *", never comes. '],
    [
      { every: '0 9 * * *', from: FROM, timeZone: 'Mars/Base' },
      `its timeZone is "Mars/Base", which does not exist. Give sparkEvent the name of a time zone such as 'Europe/Berlin'`,
    ],
    [{ every: '0 9 * * *', from: FROM, timeZone: 1 }, 'its timeZone is 1. '],
    [
      { every: '7d', from: FROM, timeZone: 'UTC' },
      'it has a timeZone, and its every is "7d", which is the same time in all zones. ',
    ],
    [{ every: '7d', from: FROM, catchUp: 'none' }, `its catchUp is "none". Give sparkEvent 'latest' or 'all'`],
    [{ from: FROM }, 'its from is set without every. '],
    [{ timeZone: 'UTC' }, 'its timeZone is set without every. '],
    [{ catchUp: 'all' }, 'its catchUp is set without every. '],
    [
      { every: '7d', from: FROM, at: FROM },
      'it has both at and every. Leave at out, and give sparkEvent the first instant as from. ',
    ],
    [{ every: '7d', from: FROM, at: null }, 'it has both at and every. '],
    [{ every: '7d', from: FROM, occurrence: 3 }, 'it has an occurrence, 3, and every. Leave occurrence out: '],
    [{ every: '7d', from: FROM, until: FROM }, 'its until is not after its from. '],
    [
      { every: '7d', from: FROM, key: 'x'.repeat(231) },
      'its key leaves no place for the instants of every. Give sparkEvent an id, or a key',
    ],
  ])('are refused if they are %o: %s', (options, reason) => {
    expect(verdictOn(options)).toEqual(expect.stringContaining(reason));
  });

  it('are refused if they cannot be read', () => {
    expect(checkEvent({ ...sparkEvent('weekly', 7), schedule: null })).toMatch(/^it cannot be read/);
  });
});
