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
function around<C>(hook: AroundHook<C>, inner: Around<C> | undefined): Around<C> {
  return (call, work) => new Run(hook, call, work, inner).start();
}

const ignore = (): void => undefined;

/** The work inside of one call of a hook. There are many calls, and each promise costs time, so this is written without `await`. */
class Run<C> {
  private begun: Promise<void> | undefined;
  /** Whether the work has ended well. */
  private isDone = false;
  /** Whether the hook has ended. */
  private isOver = false;
  /** Whether the hook has returned. */
  private isReturned = false;

  constructor(
    private readonly hook: AroundHook<C>,
    private readonly call: C,
    private readonly work: () => Promise<void>,
    private readonly inner: Around<C> | undefined,
  ) {}

  start(): Promise<void> {
    let ended: Promise<unknown> | undefined;
    try {
      ended = this.hook.call(this.call, () => this.next());
    } catch (error) {
      ended = Promise.reject(error);
    }
    // A hook that returns the promise of next() ends as the work does.
    if (this.begun && ended === this.begun) return this.begun;
    this.isReturned = true;
    if (this.begun) this.watch(this.begun);
    return Promise.resolve(ended).then(
      () => this.end(),
      (thrown: unknown) => this.fail(thrown),
    );
  }

  private next(): Promise<void> {
    if (!this.begun) {
      this.begun = this.isOver ? Promise.reject(new NextNotCalledError(this.hook.where)) : this.begin();
      if (this.isReturned) this.watch(this.begun);
    }
    return this.begun;
  }

  private begin(): Promise<void> {
    return this.inner ? this.inner(this.call, this.work) : this.work();
  }

  /** The hook may ignore the promise, and its rejection must not be unhandled. */
  private watch(begun: Promise<void>): void {
    begun.then(() => void (this.isDone = true), ignore);
  }

  private end(): Promise<void> | undefined {
    this.isOver = true;
    if (!this.begun) throw new NextNotCalledError(this.hook.where);
    return this.isDone ? undefined : this.begun;
  }

  private async fail(thrown: unknown): Promise<never> {
    this.isOver = true;
    await this.begun?.catch(ignore);
    throw thrown;
  }
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
