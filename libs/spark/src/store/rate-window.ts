import type { Rate } from '../handler/fleet-limits.js';

/** The starts that count against a rate: how many deliveries begin by an instant, in epoch milliseconds, at the latest. */
export type Starts = readonly (readonly [latest: number, count: number])[];

/** How many deliveries may begin now, and when more may, in epoch milliseconds. */
export interface RateRoom {
  readonly room: number;
  readonly freeAt: number;
}

// Starts are counted together by hundredths of the time of a rate.
const PARTS = 100;

/** The starts that still count at an instant: those that may be less than the rate's time ago. */
export const counting = (starts: Starts, { per }: Rate, now: number): Starts =>
  starts.filter(([latest]) => latest > now - per);

/**
 * How many more deliveries may begin at an instant, so that no span of the rate's time has more than its maximum: those that begin in
 * such a span count when the last of them is claimed.
 */
export function roomAt(starts: Starts, rate: Rate, now: number): RateRoom {
  const still = counting(starts, rate, now);
  const room = rate.max - still.reduce((sum, [, count]) => sum + count, 0);
  const first = Math.min(...still.map(([latest]) => latest));
  return { room: Math.max(0, room), freeAt: still.length > 0 ? first + rate.per : now };
}

/** Adds deliveries that begin by `latest` at the latest. */
export function started(starts: Starts, { per }: Rate, count: number, latest: number): Starts {
  const width = per / PARTS;
  const end = Math.ceil(Math.ceil(latest / width) * width);
  const before = starts.find(([other]) => other === end)?.[1] ?? 0;
  return [...starts.filter(([other]) => other !== end), [end, before + count]];
}
