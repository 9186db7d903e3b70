import { setTimeout as delay } from 'node:timers/promises';
import { InterruptedError } from './command.error.js';
import type { EndingSignal } from './exit-codes.js';

/** Runs work with an AbortSignal that SIGINT and SIGTERM abort. A second signal ends the process at once. */
export type Run = <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T>;

/** How long work may take to end after a signal, in milliseconds. */
const GRACE = 3_000;
const SIGNALS: readonly EndingSignal[] = ['SIGINT', 'SIGTERM'];

/**
 * Runs work that a signal ends, and leaves it if it does not end within 3 seconds.
 *
 * @throws InterruptedError after a signal, also if the work has ended meanwhile
 */
export const interruptible: Run = (work) =>
  listening(async (signal) => {
    const aborted = abortOf(signal);
    try {
      const working = work(signal);
      await Promise.race([working, aborted.then(() => delay(GRACE, undefined, { ref: false }))]);
      signal.throwIfAborted();
      return await working;
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  });

/** Runs work that a signal ends, and waits for its end, however long that takes. What the work returns or throws says how it has ended. */
export const patient: Run = (work) => listening(work);

/** Resolves when a signal is aborted. */
export const abortOf = (signal: AbortSignal): Promise<void> =>
  new Promise((fulfil) => {
    if (signal.aborted) fulfil();
    else signal.addEventListener('abort', () => fulfil());
  });

async function listening<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const unlisten = () => {
    for (const one of SIGNALS) process.off(one, heard);
  };
  const heard = (name: EndingSignal) => {
    unlisten();
    controller.abort(new InterruptedError(name));
  };
  for (const one of SIGNALS) process.on(one, heard);
  try {
    return await work(controller.signal);
  } finally {
    unlisten();
  }
}
