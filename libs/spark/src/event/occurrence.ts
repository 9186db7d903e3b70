import { types } from 'node:util';
import { InvalidOccurrenceError } from '../error/invalid-occurrence.error.js';

const DAY = 86_400_000;

/**
 * One occurrence for each value: an event that happens again when the value is another one.
 *
 * @param value what tells occurrences apart, such as a due date
 * @returns its text; of a date the instant in ISO form; of `null` and `undefined` the text `none`
 * @throws InvalidOccurrenceError when it is an invalid date
 *
 * @example
 * yield sparkEvent('task_due', task.id, { task }, { at: task.due, occurrence: eachValue(task.due) });
 */
export function eachValue(value: Date | string | number | bigint | boolean | null | undefined): string {
  if (value === null || value === undefined) return 'none';
  return types.isDate(value) ? valid('eachValue', value).toISOString() : String(value);
}

/**
 * One occurrence for each calendar day of a time zone.
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
 * One occurrence for each week of a time zone, from Monday to Sunday.
 *
 * @param date the instant, usually `scope.now`
 * @param timeZone the IANA name of the zone whose weeks count; default: UTC
 * @returns the ISO week, such as `2026-W48`; days round new year may belong to a week of the other year
 * @throws InvalidOccurrenceError when the date is invalid or the zone does not exist
 *
 * @example
 * yield sparkEvent('weekly_report', team.id, { team }, { occurrence: eachWeek(now, 'Europe/Berlin') });
 */
export function eachWeek(date: Date, timeZone = 'UTC'): string {
  const day = new Date(`${dayOf('eachWeek', date, timeZone)}T00:00:00Z`);
  // A week belongs to the year that its Thursday is in.
  const thursday = new Date(day.getTime() + (4 - (day.getUTCDay() || 7)) * DAY);
  const year = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY / 7);
  return `${year}-W${String(week).padStart(2, '0')}`;
}

/**
 * One occurrence for each calendar month of a time zone.
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
  return dayOf('eachMonth', date, timeZone).slice(0, 7);
}

function dayOf(helper: string, date: Date, timeZone: string): string {
  const parts = formatOf(helper, timeZone).formatToParts(valid(helper, date));
  const part = (type: string) => parts.find((one) => one.type === type)!.value;
  return `${part('year')}-${part('month')}-${part('day')}`;
}

function formatOf(helper: string, timeZone: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat('en', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' });
  } catch {
    throw new InvalidOccurrenceError(helper, 'time zone', timeZone);
  }
}

function valid(helper: string, date: Date): Date {
  if (types.isDate(date) && !Number.isNaN(date.getTime())) return date;
  throw new InvalidOccurrenceError(helper, 'date', date);
}
