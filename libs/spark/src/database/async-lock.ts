/** Lets one after the other in, in the order of asking. */
export class AsyncLock {
  private readonly waiting: (() => void)[] = [];
  private held = false;

  /** Waits until the lock is free, not at all if it is. After `timeout` milliseconds it rejects with the error that is made then. */
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
