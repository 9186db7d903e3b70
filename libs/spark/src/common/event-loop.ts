import { setImmediate } from 'node:timers/promises';

// Short enough that no timer is noticeably late, long enough that yielding costs nothing. In milliseconds.
const LONGEST = 10;

let last = performance.now();
let yielding: Promise<void> | undefined;

/** Whether this process has worked for so long that timers and sockets wait. */
export const isBlocking = (): boolean => performance.now() - last > LONGEST;

/**
 * Lets timers and sockets run, if they have waited for long: SQLite and sources keep the process busy. All callers that wait go on
 * together. One of many asks again: `while (isBlocking()) await yieldToEventLoop()`.
 */
export async function yieldToEventLoop(): Promise<void> {
  if (isBlocking()) await (yielding ??= nextIteration());
}

async function nextIteration(): Promise<void> {
  await setImmediate();
  yielding = undefined;
  last = performance.now();
}
