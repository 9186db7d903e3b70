import { setTimeout as delay } from 'node:timers/promises';

/** How long a wait lasts before it checks whether the sweep was stopped, in milliseconds. */
const LONGEST = 250;

/** Keeps the sweeps of a process at a rate. */
export class Pace {
  /** When the next entities may be read, by `performance.now()`. */
  private next = 0;

  /** @param rate how many entities a second; undefined means without a limit */
  constructor(private readonly rate: number | undefined) {}

  get isLimited(): boolean {
    return this.rate !== undefined;
  }

  /** Waits until so many more entities may be read. */
  async wait(entities: number, isStopped: () => boolean): Promise<void> {
    if (this.rate === undefined) return;
    const begins = Math.max(this.next, performance.now());
    this.next = begins + (entities / this.rate) * 1_000;
    for (let left = begins - performance.now(); left > 0 && !isStopped(); left = begins - performance.now())
      await delay(Math.min(left, LONGEST));
  }
}
