import { eventsOf, type Source } from './source.js';
import type { SourceOutput, SourceScope } from './event-source.decorator.js';

/** What runs of a source have read besides the entity. */
export interface TimeReads {
  /** Whether a run has asked for `scope.now`. */
  now: boolean;
  /** Whether a run has read the clock of the process. */
  clock: boolean;
  /** Whether a run waits for something. Other code may run then, so that reads of the clock are not known. */
  waits: boolean;
}

/**
 * Whether a source reads another clock than `scope.now`. It does not detect reads after the source has awaited something: other code may
 * run then and read the clock.
 */
export async function readsClock(source: Source, subject: unknown, now: number): Promise<boolean> {
  const watched = watchedSource(source);
  await eventsOf(watched.source, subject, { now: new Date(now) });
  return watched.reads.clock;
}

/** The same source, and what its runs read of the time. */
export function watchedSource(source: Source): { readonly source: Source; readonly reads: TimeReads } {
  const reads: TimeReads = { now: false, clock: false, waits: false };
  const step = clockWatcher(() => (reads.clock = true));
  const call: Source['call'] = (subject, scope) => {
    const output = step(() => source.call(subject, watchedScope(scope, reads)));
    reads.waits ||= !(Symbol.iterator in Object(output));
    return stepwise(output, step);
  };
  return { source: { ...source, call }, reads };
}

function watchedScope({ now }: SourceScope, reads: TimeReads): SourceScope {
  return {
    get now() {
      reads.now = true;
      return now;
    },
  };
}

/** Calls `onRead` whenever code reads the clock of the process, until the returned function is called. */
export function watchClock(onRead: () => void): () => void {
  const Real = globalThis.Date;
  globalThis.Date = watchedDate(Real, onRead);
  return () => void (globalThis.Date = Real);
}

/** Returns a function that runs work which does not wait, and calls `onRead` whenever the work reads the clock of the process. */
function clockWatcher(onRead: () => void): <T>(work: () => T) => T {
  const Real = globalThis.Date;
  const Watched = watchedDate(Real, onRead);
  return (work) => {
    globalThis.Date = Watched;
    try {
      return work();
    } finally {
      globalThis.Date = Real;
    }
  };
}

function watchedDate(Real: DateConstructor, onRead: () => void): DateConstructor {
  const Watched: DateConstructor = new Proxy(Real, {
    apply(): string {
      onRead();
      return Real();
    },
    construct(target, args, newTarget): object {
      if (args.length === 0) onRead();
      return Reflect.construct(target, args, newTarget === Watched ? target : newTarget) as object;
    },
    get(target, property, receiver): unknown {
      if (property === 'now') onRead();
      return Reflect.get(target, property, receiver);
    },
  });
  return Watched;
}

/** The same events, with each step of their generator run by `step`. */
function stepwise(output: SourceOutput, step: <T>(work: () => T) => T): SourceOutput {
  const given: unknown = output;
  if (given instanceof Promise) return given.then((later: Iterable<never>) => stepwise(later, step)) as SourceOutput;
  const kind = [Symbol.iterator, Symbol.asyncIterator].find((symbol) => symbol in Object(given));
  if (!kind) return output;
  const iterator = (output as any)[kind]();
  const end = () => iterator.return?.() ?? { done: true, value: undefined };
  return { [kind]: () => ({ next: () => step(() => iterator.next()), return: end }) } as never;
}
