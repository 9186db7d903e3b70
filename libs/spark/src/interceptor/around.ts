import { NextNotCalledError } from '../error/next-not-called.error.js';

/** Runs work inside of interceptors. */
export type Around<C> = (call: C, work: () => Promise<void>) => Promise<void>;

/** A method of an interceptor. */
export interface Hook<F> {
  /** `Class.method`, for messages. */
  readonly where: string;
  readonly call: F;
}

type AroundHook<C> = Hook<(call: C, next: () => Promise<void>) => Promise<unknown>>;

/** Nests the methods: the first one is the outermost. Returns undefined if there is none. */
export function nested<C>(hooks: readonly AroundHook<C>[]): Around<C> | undefined {
  return hooks.reduceRight<Around<C> | undefined>((inner, hook) => around(hook, inner), undefined);
}

/** For every hook, the work runs at most once, it has ended when the returned promise settles, and its error is not lost. */
function around<C>({ where, call: hook }: AroundHook<C>, inner: Around<C> | undefined): Around<C> {
  return async (call, work) => {
    const run: { begun?: Promise<void>; isOver?: true } = {};
    const begin = async () => (inner ? inner(call, work) : work());
    const next = (): Promise<void> => {
      if (!run.begun) {
        run.begun = run.isOver ? Promise.reject(new NextNotCalledError(where)) : begin();
        // The hook may ignore the promise, and its rejection must not be unhandled.
        run.begun.catch(() => undefined);
      }
      return run.begun;
    };
    try {
      await hook(call, next);
    } finally {
      run.isOver = true;
      await run.begun?.catch(() => undefined);
    }
    if (!run.begun) throw new NextNotCalledError(where);
    await run.begun;
  };
}

/** Runs work inside of interceptors. `limit` is the time for the interceptors alone, in milliseconds, because the work has its own limit. */
export function inTime<C>(goesRound: Around<C>, call: C, work: () => Promise<void>, limit: number, late: () => Error) {
  return new Promise<void>((resolve, reject) => {
    let timer: NodeJS.Timeout;
    let error: Error | undefined;
    const wait = () => {
      timer = setTimeout(() => reject((error = late())), limit);
    };
    const untimed = async () => {
      if (error) throw error;
      clearTimeout(timer);
      await work().finally(wait);
    };
    wait();
    void goesRound(call, untimed)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
