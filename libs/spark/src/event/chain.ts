import { apart } from '../common/boot-context.js';
import { type ChainLink, runIn, workContext } from './work-context.js';

/** How many events may follow from one another in a chain before the chain pauses. */
export const DEEPEST = 16;

// A depth also holds how often its chain has paused: after each pause, it goes on at the next thousand.
const PAUSED = 1_000;
const FIRST_PAUSE = 60_000;
const LONGEST_PAUSE = 60 * 60_000;
// The seventh pause and all later ones are the longest.
const MOST_PAUSES = 7;

/** A pause of a chain that is too deep, and its depth after the pause. */
export interface ChainPause {
  /** In milliseconds. */
  readonly pause: number;
  readonly depth: number;
}

/** Whether the chain is too deep, counted from its begin or its last pause, so that it must pause. */
export const isTooDeep = (depth: number): boolean => depth % PAUSED > DEEPEST;

/**
 * The next pause of a chain. Each pause is longer, because a chain without an end would go on for ever. A late chain only makes up
 * for lost time, so its pauses stay short.
 */
export function pauseOf(depth: number, isLate: boolean): ChainPause {
  const pauses = Math.min(Math.floor(depth / PAUSED) + 1, MOST_PAUSES);
  const pause = isLate ? FIRST_PAUSE : Math.min(FIRST_PAUSE * 2 ** (pauses - 1), LONGEST_PAUSE);
  return { pause, depth: pauses * PAUSED };
}

/** Whether an instant is past by more than the first pause, so that an event of that instant is late. */
export const isLate = (at: number, now: number): boolean => at < now - FIRST_PAUSE;

/** Where a chain begins: outside of any handler. */
export const CHAIN_START: ChainLink = { depth: 0, cause: null };

/** The place of the present async context in a chain of events. */
export function chainLink(): ChainLink {
  const { depth, cause } = workContext();
  return { depth, cause };
}

/** Runs a handler of an event with this depth, or what follows from it. Events of its changes are one step deeper, and have this cause. */
export function inChainOf<T>({ depth, cause }: ChainLink, work: () => T): T {
  return apart(() => runIn({ depth: depth + 1, cause, waited: workContext().waited }, work));
}
