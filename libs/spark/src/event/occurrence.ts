import { types } from 'node:util';
import { InvalidOccurrenceError } from '../error/invalid-occurrence.error.js';

const DAY = 86_400_000;

/**
 * One occurrence for each value: the event happens again when the value changes.
 *
 * @param value the value that distinguishes occurrences, such as a due date
 * @returns the value as text: a date in ISO form, `null` and `undefined` as `none`
 * @throws InvalidOccurrenceError when the value is an invalid date
 *
 * @example
 * yield sparkEvent('task_due', task.id, { task }, { at: task.due, occurrence: eachValue(task.due) });
 */
export function eachValue(value: Date | string | number | bigint | boolean | null | undefined): string {
  if (value === null || value === undefined) return 'none';
  return types.isDate(value) ? valid('eachValue', value).toISOString() : String(value);
}

/**
 * One occurrence for each calendar day of a time zone. The next save or sweep finds the event of a new
 * day. If it must be on time, use `every`.
 *
 * @param date the instant, usually `scope.now`
 * @param timeZone the IANA name of the zone whose days count; default: UTC
 * @returns the day, such as `2026-11-23`
 * @throws InvalidOccurrenceError when the date is invalid or the zone does not exist
 *
 * @example
 * yield sparkEvent('digest', user.id, { user }, { occurrence: eachDay(now, user.timeZone) });
 */
export function eachDay(date: Date, timeZone = 'UTC'): string {
  return dayOf('eachDay', date, timeZone);
}

/**
 * One occurrence for each week of a time zone, from Monday to Sunday. The next save or sweep finds the event of a new
 * week. If it must be on time, use `every`.
 *
 * @param date the instant, usually `scope.now`
 * @param timeZone the IANA name of the zone whose weeks count; default: UTC
 * @returns the ISO week, such as `2026-W48`; days near new year may belong to a week of the other year
 * @throws InvalidOccurrenceError when the date is invalid or the zone does not exist
 *
 * @example
 * yield sparkEvent('weekly_report', team.id, { team }, { occurrence: eachWeek(now, 'Europe/Berlin') });
 */
export function eachWeek(date: Date, timeZone = 'UTC'): string {
  const { year: inYear, month, day: inMonth } = calendarDay('eachWeek', date, timeZone);
  const day = utcDay(inYear, month - 1, inMonth);
  // A week belongs to the year that its Thursday is in.
  const thursday = new Date(day.getTime() + (4 - (day.getUTCDay() || 7)) * DAY);
  const year = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - utcDay(year, 0, 1).getTime()) / DAY / 7);
  return `${yearText(year)}-W${String(week).padStart(2, '0')}`;
}

/**
 * One occurrence for each calendar month of a time zone. The next save or sweep finds the event of a new
 * month. If it must be on time, use `every`.
 *
 * @param date the instant, usually `scope.now`
 * @param timeZone the IANA name of the zone whose months count; default: UTC
 * @returns the month, such as `2026-11`
 * @throws InvalidOccurrenceError when the date is invalid or the zone does not exist
 *
 * @example
 * yield sparkEvent('invoice_due', customer.id, { customer }, { occurrence: eachMonth(now, 'America/New_York') });
 */
export function eachMonth(date: Date, timeZone = 'UTC'): string {
  return dayOf('eachMonth', date, timeZone).slice(0, -3);
}

function dayOf(helper: string, date: Date, timeZone: string): string {
  const { year, month, day } = calendarDay(helper, date, timeZone);
  return `${yearText(year)}-${twoDigits(month)}-${twoDigits(day)}`;
}

/** The calendar day in a time zone. The year 0 is the year before the year 1, as in ISO 8601. */
function calendarDay(helper: string, date: Date, timeZone: string) {
  const parts = formatOf(helper, timeZone).formatToParts(valid(helper, date));
  const part = (type: string) => parts.find((one) => one.type === type)!.value;
  const year = Number(part('year'));
  return {
    year: part('era').startsWith('B') ? 1 - year : year,
    month: Number(part('month')),
    day: Number(part('day')),
  };
}

// Date.UTC reads the years 0 to 99 as 1900 to 1999.
function utcDay(year: number, month: number, day: number): Date {
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  return date;
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');

/** A year as ISO 8601 writes it: four digits, or a sign and six. */
const yearText = (year: number): string =>
  year >= 0 && year <= 9_999
    ? String(year).padStart(4, '0')
    : `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;

/** To create a format takes thirty times as long as to use it. */
const formats = new Map<string, Intl.DateTimeFormat>();
const MOST_FORMATS = 1_000;

function formatOf(helper: string, timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format) return format;
  try {
    format = new Intl.DateTimeFormat('en', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      era: 'short',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
  } catch {
    throw new InvalidOccurrenceError(helper, 'time zone', timeZone);
  }
  // There are not so many time zones. But names that differ only in upper and lower case would add up.
  if (formats.size >= MOST_FORMATS) formats.clear();
  formats.set(timeZone, format);
  return format;
}

function valid(helper: string, date: Date): Date {
  if (types.isDate(date) && !Number.isNaN(date.getTime())) return date;
  throw new InvalidOccurrenceError(helper, 'date', date);
}
