import { setImmediate } from 'node:timers/promises';

// In milliseconds. It is short enough that no timer is noticeably late, and long enough that yielding costs nearly nothing.
const LONGEST = 10;

let last = performance.now();
let yielding: Promise<void> | undefined;

/** Whether this process has worked without a pause for so long that timers and sockets wait. */
export function isBlocking(): boolean {
  const worked = performance.now() - last;
  // A clock of tests goes back when they end.
  return worked > LONGEST || worked < 0;
}

/**
 * Lets timers and sockets run, if they have waited for long, because SQLite and sources block the event loop. All waiting callers
 * continue in the same iteration. A caller that is one of many checks again: `while (isBlocking()) await yieldToEventLoop()`.
 */
export async function yieldToEventLoop(): Promise<void> {
  if (isBlocking()) await (yielding ??= nextIteration());
}

async function nextIteration(): Promise<void> {
  await setImmediate();
  yielding = undefined;
  last = performance.now();
}
