import type { Duration } from '../spark.options.js';
import { duration } from '../spark.settings.js';

/** How long a failed delivery waits: doubling from `base` up to `max`, or a function of the attempt that failed (1, 2, …). */
export type Backoff = { base?: Duration; max?: Duration } | ((attempt: number) => Duration);

/** The milliseconds to wait after an attempt failed, half of them random, so that what failed together does not return together. */
export function backoffDelay(attempt: number, backoff: Backoff = {}): number {
  if (typeof backoff === 'function') return duration('backoff', backoff(attempt));
  const base = duration('backoff.base', backoff.base ?? '1s');
  const max = duration('backoff.max', backoff.max ?? '1h');
  return Math.round(Math.min(max, base * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2));
}
