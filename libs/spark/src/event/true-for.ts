import { durationIn } from '../config/option-parsers.js';
import { got } from '../error/wording.js';

// A recheck may be late by about as much, and each condition costs three of them.
const SHORTEST = 1_000;
// Dates of JavaScript and of databases end some time later.
const LONGEST = 100 * 366 * 24 * 60 * 60_000;
const ADVICE = `Give sparkEvent a duration from a second to 100 years, such as '15m', or null for "never".`;

/** Returns why a value cannot be a `trueFor`, and what to do about it, as the end of a sentence; undefined if it can. */
export function flawInTrueFor(value: unknown): string | undefined {
  const length = durationIn(value);
  if (length === undefined || !Number.isInteger(length)) return `its trueFor is ${got(value)}. ${ADVICE}`;
  if (length < SHORTEST) return `its trueFor is ${got(value)}, which is less than a second. ${ADVICE}`;
  return length > LONGEST ? `its trueFor is ${got(value)}, which is more than 100 years. ${ADVICE}` : undefined;
}
