import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

/**
 * The async context in which the application booted. Whatever Spark runs by itself runs in it, whoever wakes it: no request's
 * tenant, trace or transaction is seen there, and a chain of events begins at its first one.
 */
export class BootContext {
  private readonly enter = AsyncLocalStorage.snapshot();
  private readonly waiting: (() => void)[] = [];
  private resume = (): void => {};

  constructor() {
    void this.begin();
  }

  /** Runs work in the context of the boot, a moment later. What it enters there is gone when it has ended. */
  run<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting.push(() => void work().then(resolve, reject));
      this.resume();
    });
  }

  /** Runs work there at once. Contexts of libraries that use no AsyncLocalStorage, such as cls-hooked, are still seen. */
  runNow<T>(work: () => T): T {
    return this.enter(apart, work);
  }

  // It has waited since the boot, so that nothing of whoever wakes it goes along, not even by async hooks.
  private async begin(): Promise<void> {
    for (;;) {
      await new Promise<void>((resolve) => (this.resume = resolve));
      for (const work of this.waiting.splice(0)) apart(work);
    }
  }
}

/** Runs work in a copy of the present async context, so that nobody else sees what it enters there by `enterWith`. */
export function apart<T>(work: () => T): T {
  return new AsyncResource('Spark').runInAsyncScope(work);
}
