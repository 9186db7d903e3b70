import { AsyncLocalStorage } from 'node:async_hooks';
import { sharedByCopies } from '../shared-by-copies.js';
import { apart } from '../boot-context.js';

/** How long a chain of events that lead to one another may grow. */
export const DEEPEST = 16;

const chain = sharedByCopies('chain', () => new AsyncLocalStorage<number>());

/** How many events led to what is being done: 0 outside of any handler. */
export const chainDepth = (): number => chain.getStore() ?? 0;

/** Runs a handler of an event; what it changes is one event further down the chain. */
export function inChainOf<T>(depth: number, work: () => T): T {
  return apart(() => chain.run(depth + 1, work));
}
