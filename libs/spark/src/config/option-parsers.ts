import ms, { type StringValue } from 'ms';
import { InvalidOptionsError, UNKNOWN } from '../error/invalid-options.error.js';
import type { Duration } from './spark.options.js';

const LONGEST_TIMER = 2 ** 31 - 1;

/** Parses a duration that a timer can wait for, as milliseconds. Throws InvalidOptionsError. */
export function parseTimeout(name: string, value: Duration): number {
  const milliseconds = parseDuration(name, value);
  if (milliseconds <= LONGEST_TIMER) return milliseconds;
  throw new InvalidOptionsError(name, value, 'at most 24 days');
}

/** Parses a duration of any length, as milliseconds. Throws InvalidOptionsError. */
export function parseDuration(name: string, value: Duration): number {
  const milliseconds =
    typeof value === 'string' && value !== '' && value.length <= 100 ? ms(value as StringValue) : value;
  if (typeof milliseconds === 'number' && milliseconds > 0 && milliseconds <= Number.MAX_SAFE_INTEGER) {
    return milliseconds;
  }
  throw new InvalidOptionsError(name, value, `milliseconds above 0, or text such as '30s' or '5 minutes'`);
}

/** A duration in milliseconds; undefined if the value is none. */
export function durationIn(value: unknown): number | undefined {
  try {
    return parseDuration('', value as Duration);
  } catch {
    return undefined;
  }
}

/** Checks a whole number above 0. Throws InvalidOptionsError. */
export function positiveInteger(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidOptionsError(name, value, 'a whole number above 0');
}

/** Checks a whole number, 0 or above. Throws InvalidOptionsError. */
export function wholeNumber(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidOptionsError(name, value, 'a whole number, 0 or above');
}

/** Checks a whole number from `least` to `most`. Throws InvalidOptionsError. */
export function wholeNumberWithin(name: string, value: unknown, least: number, most: number): number {
  if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most) return Number(value);
  throw new InvalidOptionsError(name, value, `a whole number from ${least} to ${most}`);
}

/** Checks a priority. Throws InvalidOptionsError. */
export const parsePriority = (name: string, value: unknown): number => wholeNumberWithin(name, value, -1_000, 1_000);

/** Checks true or false. Throws InvalidOptionsError. */
export function parseBoolean(name: string, value: boolean): boolean {
  if (typeof value === 'boolean') return value;
  throw new InvalidOptionsError(name, value, 'true or false');
}

/** Checks a name for SQL. Throws InvalidOptionsError. */
export function sqlIdentifier(name: string, value: string, longest: number): string {
  if (typeof value === 'string' && /^\w+$/.test(value) && value.length <= longest) return value;
  throw new InvalidOptionsError(name, value, `1 to ${longest} letters, digits and underscores`);
}

/**
 * Checks that an option is an object with no other properties than `names`. `path` makes the name of a property for the message. Throws
 * InvalidOptionsError.
 */
export function refuseUnknown(
  option: string,
  given: object,
  names: readonly string[],
  path = (name: string) => `${option}.${name}`,
): void {
  const all = names.join(', ');
  if (typeof given !== 'object' || given === null) throw new InvalidOptionsError(option, given, `{ ${all} }`);
  const unknown = Object.keys(given).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new InvalidOptionsError(path(unknown), UNKNOWN, `one of ${all}`);
}
