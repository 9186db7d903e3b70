import { setTimeout as delay } from 'node:timers/promises';
import { InterruptedError } from './command.error.js';
import type { EndingSignal } from './exit-codes.js';

/** How long work may take to end after a signal, in milliseconds. */
const GRACE = 3_000;
const SIGNALS: readonly EndingSignal[] = ['SIGINT', 'SIGTERM'];

/**
 * Runs work that SIGINT and SIGTERM end: its AbortSignal is aborted, and work that does not end within 3 seconds is left. A second
 * signal ends the process at once.
 *
 * @throws InterruptedError after a signal, also if the work has ended meanwhile
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  const heard = (name: EndingSignal) => {
    for (const one of SIGNALS) process.off(one, heard);
    controller.abort(new InterruptedError(name));
  };
  const aborted = new Promise<void>((fulfil) => signal.addEventListener('abort', () => fulfil()));
  for (const one of SIGNALS) process.on(one, heard);
  try {
    const working = work(signal);
    await Promise.race([working, aborted.then(() => delay(GRACE, undefined, { ref: false }))]);
    signal.throwIfAborted();
    return await working;
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    for (const one of SIGNALS) process.off(one, heard);
  }
}
