import type { Duration } from './spark.options.js';
import { parseTimeout, refuseUnknown } from './option-parsers.js';

/** How long a failed delivery waits: a time that doubles from `base` up to `max`, or a function of the attempt that failed (1, 2, …). */
export type Backoff = { base?: Duration; max?: Duration } | ((attempt: number) => Duration);

/** Throws InvalidOptionsError when the backoff is not valid. The result of a function is checked only when Spark calls it. */
export function checkBackoff(backoff: Backoff, option: (name: string) => string): void {
  if (typeof backoff === 'function') return;
  refuseUnknown(option('backoff'), backoff, ['base', 'max'], (name) => option(`backoff.${name}`));
  const { base, max } = backoff;
  if (base !== undefined) parseTimeout(option('backoff.base'), base);
  if (max !== undefined) parseTimeout(option('backoff.max'), max);
}

/**
 * The milliseconds to wait after an attempt failed. Half of the time is random, so that deliveries that failed together are not retried
 * together.
 */
export function backoffDelay(attempt: number, backoff: Backoff = {}): number {
  if (typeof backoff === 'function') return parseTimeout('backoff', backoff(attempt));
  const base = parseTimeout('backoff.base', backoff.base ?? '1s');
  const max = parseTimeout('backoff.max', backoff.max ?? '1h');
  return Math.round(Math.min(max, base * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2));
}
