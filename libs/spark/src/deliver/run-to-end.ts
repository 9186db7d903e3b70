import { UnusableResultError } from '../error/unusable-result.error.js';

/** The attempt that a result belongs to. */
export interface Run {
  /** The handler's name, for messages. */
  readonly handlerName: string;
  /** Adds a function that ends the work early. The attempt calls it when it is over. */
  onEnd(end: () => void): void;
}

interface Observer {
  next(value: unknown): void;
  error(error: unknown): void;
  complete(): void;
}

interface Subscribable {
  subscribe(observer: Observer): { unsubscribe(): void };
}

/**
 * Waits for the work that a handler returned. It awaits promises, subscribes to Observables, and runs generators and async iterables
 * to their end. It does the same with the values that these give, and with the elements of arrays. Any other value is a result.
 *
 * @throws UnusableResultError for functions and streams
 */
export function runToEnd(given: unknown, run: Run): Promise<void> | undefined {
  if (typeof given === 'function')
    throw new UnusableResultError(run.handlerName, 'a function', 'Call it, and return what it gives.');
  if (typeof given !== 'object' || given === null) return undefined;
  if (has(given, 'then')) return Promise.resolve(given).then((value) => runToEnd(value, run));
  if (Array.isArray(given)) return together(given, run);
  const observable = observableOf(given);
  if (observable) return observe(observable, run);
  if (isStream(given))
    throw new UnusableResultError(run.handlerName, 'a stream', 'Return pipeline(…) of node:stream/promises instead.');
  return isLazy(given) ? iterate(given, run) : undefined;
}

function together(parts: readonly unknown[], run: Run): Promise<void> | undefined {
  const pending = parts.map((part) => begin(part, run)).filter((part) => part !== undefined);
  return pending.length === 0 ? undefined : Promise.all(pending).then(() => undefined);
}

// If one part throws, the others must still be awaited. Otherwise their rejections would be unhandled.
function begin(part: unknown, run: Run): Promise<void> | undefined {
  try {
    return runToEnd(part, run);
  } catch (error) {
    return Promise.reject(error);
  }
}

async function iterate(parts: AsyncIterable<unknown> | Iterable<unknown>, run: Run): Promise<void> {
  let isOver = false;
  run.onEnd(() => (isOver = true));
  for await (const part of parts) {
    await runToEnd(part, run);
    if (isOver) break;
  }
}

function observe(observable: Subscribable, run: Run): Promise<void> {
  return new Promise((resolve, reject) => {
    const pending: Promise<void>[] = [];
    // It must not throw: rxjs ends the process if an observer throws.
    const next = (value: unknown) => {
      const part = begin(value, run);
      part?.catch(reject);
      if (part) pending.push(part);
    };
    const complete = () => resolve(Promise.all(pending).then(() => undefined));
    const subscription = observable.subscribe({ next, error: reject, complete });
    run.onEnd(() => subscription.unsubscribe());
  });
}

// Observables are detected by their shape, because the application may have another copy of rxjs, or another library. `subscribe` alone
// is not enough: it may be a method of an entity.
function observableOf(given: object): Subscribable | undefined {
  const { observable = '@@observable' } = Symbol as { observable?: symbol };
  for (const name of [observable, '@@observable'])
    if (has(given, name)) return (given as Record<string | symbol, () => Subscribable>)[name]!();
  return has(given, 'subscribe') && has(given, 'pipe') ? (given as unknown as Subscribable) : undefined;
}

const isStream = (given: object): boolean =>
  (has(given, 'pipe') && has(given, 'on')) ||
  (has(given, 'write') && has(given, 'on')) ||
  has(given, 'getReader') ||
  has(given, 'getWriter');

/** Whether reading its values does work, unlike those of a Map or a Set. */
function isLazy(given: object): given is AsyncIterable<unknown> | Iterable<unknown> {
  return has(given, Symbol.asyncIterator) || (has(given, Symbol.iterator) && has(given, 'next'));
}

const has = (given: object, name: string | symbol): boolean =>
  typeof (given as Record<string | symbol, unknown>)[name] === 'function';
