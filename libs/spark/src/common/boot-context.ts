import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

/**
 * The async context in which the application booted. All that Spark runs by itself runs in it, whatever triggers it. So that code
 * has no request's tenant, trace or transaction, and a chain of events begins there at depth 0.
 */
export class BootContext {
  private readonly enter = AsyncLocalStorage.snapshot();
  private readonly waiting: (() => void)[] = [];
  private resume = (): void => {};

  constructor() {
    void this.begin();
  }

  /** Runs work in the context of the boot, a moment later. A change of that context by `enterWith` ends with the work. */
  run<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.waiting.push(() => void work().then(resolve, reject));
      this.resume();
    });
  }

  /** Runs work there at once. Contexts of libraries without AsyncLocalStorage, such as cls-hooked, stay those of the caller. */
  runNow<T>(work: () => T): T {
    return this.enter(apart, work);
  }

  // This loop has waited since the boot. So the work that it runs inherits nothing from the caller, not even by async hooks.
  private async begin(): Promise<void> {
    for (;;) {
      await new Promise<void>((resolve) => (this.resume = resolve));
      for (const work of this.waiting.splice(0)) apart(work);
    }
  }
}

/** Runs work in a copy of the present async context, so that other code does not see what the work changes by `enterWith`. */
export function apart<T>(work: () => T): T {
  return new AsyncResource('Spark').runInAsyncScope(work);
}
