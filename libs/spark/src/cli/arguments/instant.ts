import { InvalidArgumentError } from 'commander';
import { durationIn } from '../../config/option-parsers.js';

/** Parses a time: a date in ISO 8601, or a duration from now, such as `-2d` or `+7d`. Throws InvalidArgumentError. */
export function instant(value: string): Date {
  const [, sign, amount] = /^([+-])(\d.*)$/.exec(value) ?? [];
  const away = durationIn(amount);
  if (away !== undefined) return new Date(Date.now() + (sign === '-' ? -away : away));
  const date = new Date(value);
  if (/^\d{4}-\d\d-\d\d/.test(value) && !Number.isNaN(date.getTime())) return date;
  throw new InvalidArgumentError('It must be a time such as 2026-06-01, 2026-06-01T12:00Z, -2d or +7d.');
}

/** Parses a duration with its unit, such as `90d`, as milliseconds. Throws InvalidArgumentError. */
export function duration(value: string): number {
  // Without a unit, it would be milliseconds.
  const milliseconds = /[a-z]$/i.test(value) ? durationIn(value) : undefined;
  if (milliseconds !== undefined && milliseconds >= 1) return Math.round(milliseconds);
  throw new InvalidArgumentError('It must be a duration with its unit, such as 90d or 12h.');
}

/** Parses a whole number above 0. Throws InvalidArgumentError. */
export function wholeNumber(value: string): number {
  if (/^\d{1,9}$/.test(value) && Number(value) > 0) return Number(value);
  throw new InvalidArgumentError('It must be a whole number above 0.');
}

/** Parses a whole number, 0 or above. Throws InvalidArgumentError. */
export function wholeNumberOrZero(value: string): number {
  if (/^\d{1,9}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('It must be a whole number, 0 or above.');
}
