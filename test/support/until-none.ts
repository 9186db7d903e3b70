import { setTimeout as delay } from 'node:timers/promises';

/** How long a server may take to notice that a connection was closed, in milliseconds. */
const CLOSING = 1_000;

/** Waits until nobody is connected any more. Throws if somebody stays: an application that was not closed would work for the next test, too. */
export async function untilNone(connected: () => Promise<number>): Promise<void> {
  for (const until = performance.now() + CLOSING; (await connected()) > 0; await delay(10))
    if (performance.now() > until) throw new Error('somebody stays connected');
}
