import { AsyncLocalStorage } from 'node:async_hooks';
import { sharedByCopies } from '../common/shared-by-copies.js';
import { apart } from '../common/boot-context.js';

/** How long a chain of events that lead to one another may grow before it rests. */
export const DEEPEST = 16;

// A depth holds how often its chain has rested, too: after each rest it goes on at the next thousand.
const RESTED = 1_000;
const FIRST_REST = 60_000;
const LONGEST_REST = 60 * 60_000;
// From the seventh on, all are the longest.
const MOST_RESTS = 7;

/** A rest of a chain that has grown too long, and how deep it is when it goes on. */
export interface Rest {
  /** In milliseconds. */
  readonly pause: number;
  readonly depth: number;
}

/** Whether so many events have led to one another since the chain began, or rested, that it is to rest. */
export const isTooDeep = (depth: number): boolean => depth % RESTED > DEEPEST;

/** How a chain rests: longer each time, as one that nothing ends would go on for ever, unless it only makes up for lost time. */
export function restOf(depth: number, isLate: boolean): Rest {
  const rests = Math.min(Math.floor(depth / RESTED) + 1, MOST_RESTS);
  const pause = isLate ? FIRST_REST : Math.min(FIRST_REST * 2 ** (rests - 1), LONGEST_REST);
  return { pause, depth: rests * RESTED };
}

/** Whether an instant has been over for longer than the first rest: what had to happen then is late. */
export const isLate = (at: number, now: number): boolean => at < now - FIRST_REST;

const chain = sharedByCopies('chain', () => new AsyncLocalStorage<number>());

/** How many events led to what is being done: 0 outside of any handler. */
export const chainDepth = (): number => chain.getStore() ?? 0;

/** Runs a handler of an event; what it changes is one event further down the chain. */
export function inChainOf<T>(depth: number, work: () => T): T {
  return apart(() => chain.run(depth + 1, work));
}
