import { eventsOf, type Source } from '../source/source.js';
import type { SourceOutput } from '../source/event-source.decorator.js';

/**
 * Whether a source reads another clock than `scope.now`. It does not detect reads after the source has awaited something: other code may
 * run then and read the clock.
 */
export async function readsClock(source: Source, subject: unknown, now: number): Promise<boolean> {
  let reads = 0;
  const step = <T>(work: () => T): T => {
    const restore = watchClock(() => reads++);
    try {
      return work();
    } finally {
      restore();
    }
  };
  const call: Source['call'] = (...given) =>
    stepwise(
      step(() => source.call(...given)),
      step,
    );
  await eventsOf({ ...source, call }, subject, { now: new Date(now) });
  return reads > 0;
}

/** Calls `onRead` whenever code reads the clock of the process, until the returned function is called. */
export function watchClock(onRead: () => void): () => void {
  const Real = globalThis.Date;
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
  globalThis.Date = Watched;
  return () => void (globalThis.Date = Real);
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
