import { eventsNow, NotSynchronous, type Source } from '../source/source.js';

/** Whether a source asks the time of anybody but its scope. Of one that waits only the part before is known to be its own. */
export function readsClock(source: Source, subject: unknown, now: number): boolean {
  const scope = { now: new Date(now) };
  const reads = countClockReads(() => {
    try {
      eventsNow(source, subject, scope);
    } catch (error) {
      if (!(error instanceof NotSynchronous)) throw error;
    }
  });
  return reads > 0;
}

/** Runs work that does not wait, and counts how often it asks the clock of the process. Nothing else runs meanwhile. */
function countClockReads(work: () => void): number {
  let reads = 0;
  const Real = globalThis.Date;
  const Counting: DateConstructor = new Proxy(Real, {
    construct(target, args, newTarget): object {
      if (args.length === 0) reads++;
      return Reflect.construct(target, args, newTarget === Counting ? target : newTarget) as object;
    },
    get(target, property, receiver): unknown {
      if (property === 'now') reads++;
      return Reflect.get(target, property, receiver);
    },
  });
  globalThis.Date = Counting;
  try {
    work();
  } finally {
    globalThis.Date = Real;
  }
  return reads;
}
