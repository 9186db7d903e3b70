import { describe, expect, it } from 'vitest';
import { InvalidOccurrenceError } from '../error/invalid-occurrence.error.js';
import { eachDay, eachMonth, eachValue, eachWeek } from './occurrence.js';

const at = (iso: string) => new Date(iso);

describe('an occurrence', () => {
  it.each([
    ['2026-11-23T22:59:59Z', 'Europe/Berlin', '2026-11-23'],
    ['2026-11-23T23:00:00Z', 'Europe/Berlin', '2026-11-24'],
    ['2026-11-23T00:30:00Z', 'America/New_York', '2026-11-22'],
    ['2026-11-23T00:30:00Z', undefined, '2026-11-23'],
    // The day on which clocks go forward has 23 hours, the one on which they go back 25.
    ['2026-03-28T22:59:59Z', 'Europe/Berlin', '2026-03-28'],
    ['2026-03-28T23:00:00Z', 'Europe/Berlin', '2026-03-29'],
    ['2026-03-29T21:59:59Z', 'Europe/Berlin', '2026-03-29'],
    ['2026-03-29T22:00:00Z', 'Europe/Berlin', '2026-03-30'],
    ['2026-10-24T22:00:00Z', 'Europe/Berlin', '2026-10-25'],
    ['2026-10-25T00:30:00Z', 'Europe/Berlin', '2026-10-25'],
    ['2026-10-25T01:30:00Z', 'Europe/Berlin', '2026-10-25'],
    ['2026-10-25T22:59:59Z', 'Europe/Berlin', '2026-10-25'],
    ['2026-10-25T23:00:00Z', 'Europe/Berlin', '2026-10-26'],
  ])('of a day: %s in %s is %s', (instant, zone, day) => {
    expect(eachDay(at(instant), zone)).toBe(day);
  });

  it.each([
    ['2026-11-23T12:00:00Z', '2026-W48'],
    ['2026-11-22T12:00:00Z', '2026-W47'],
    ['2026-12-31T12:00:00Z', '2026-W53'],
    ['2027-01-01T12:00:00Z', '2026-W53'],
    ['2027-01-03T12:00:00Z', '2026-W53'],
    ['2027-01-04T12:00:00Z', '2027-W01'],
    ['2024-12-30T12:00:00Z', '2025-W01'],
    ['2021-01-03T12:00:00Z', '2020-W53'],
  ])('of a week: %s is in %s', (instant, week) => {
    expect(eachWeek(at(instant))).toBe(week);
  });

  it('of a week goes by the days of its zone', () => {
    expect(eachWeek(at('2026-11-22T23:30:00Z'), 'Europe/Berlin')).toBe('2026-W48');
    expect(eachWeek(at('2026-11-22T23:30:00Z'), 'UTC')).toBe('2026-W47');
  });

  it('of a month goes by the days of its zone', () => {
    expect(eachMonth(at('2026-11-30T23:30:00Z'), 'Europe/Berlin')).toBe('2026-12');
    expect(eachMonth(at('2026-12-01T02:00:00Z'), 'America/New_York')).toBe('2026-11');
  });

  it('of a value is another one for another value', () => {
    expect(eachValue(at('2026-11-23T12:00:00.001Z'))).toBe('2026-11-23T12:00:00.001Z');
    expect([eachValue(7), eachValue('seven'), eachValue(7n), eachValue(true)]).toEqual(['7', 'seven', '7', 'true']);
    expect([eachValue(null), eachValue(undefined)]).toEqual(['none', 'none']);
  });

  it('that cannot be told is refused by name', () => {
    expect(() => eachDay(at('never'))).toThrow(InvalidOccurrenceError);
    expect(() => eachDay(at('never'))).toThrow('eachDay was given a Date as date. Give it a valid Date.');
    expect(() => eachValue(at('never'))).toThrow('eachValue');
    expect(() => eachWeek(at('2026-01-01'), 'Mars/Olympus')).toThrow(
      `eachWeek was given "Mars/Olympus" as time zone. Give it the name of a time zone such as 'Europe/Berlin'.`,
    );
    expect(() => eachMonth('2026-01-01' as never)).toThrow('eachMonth was given "2026-01-01" as date');
  });
});
