/** A lock that one caller holds at a time. Callers get it in the order of their calls. */
export class AsyncLock {
  private readonly waiting: (() => void)[] = [];
  private held = false;

  /**
   * Takes the lock.
   *
   * @param timeout how long to wait, in milliseconds
   * @param error makes the error after the timeout
   * @returns undefined if the lock was free, else a promise that resolves with the lock, or rejects after the timeout
   */
  acquire(timeout: number, error: () => Error): Promise<void> | undefined {
    if (!this.held) {
      this.held = true;
      return undefined;
    }
    return new Promise<void>((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer);
        resolve();
      };
      const giveUp = () => {
        this.waiting.splice(this.waiting.indexOf(enter), 1);
        reject(error());
      };
      const timer = setTimeout(giveUp, timeout);
      this.waiting.push(enter);
    });
  }

  release(): void {
    const next = this.waiting.shift();
    if (next) next();
    else this.held = false;
  }
}
