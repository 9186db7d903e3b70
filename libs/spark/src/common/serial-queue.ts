/** Runs one piece of work after the other, in the order of the calls. Work that fails does not stop the next. */
export class SerialQueue {
  private last: Promise<unknown> = Promise.resolve();

  /** Runs work after all earlier work. Resolves or rejects as the work does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const run = this.last.then(work);
    this.last = run.catch(() => undefined);
    return run;
  }

  /** Resolves when all work that was queued before this call has ended. */
  async ended(): Promise<void> {
    await this.last;
  }
}
