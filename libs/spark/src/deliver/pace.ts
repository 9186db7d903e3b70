import { setTimeout as delay } from 'node:timers/promises';

/** Spaces claims, so that each takes what has arrived meanwhile. After a pause, two claims may follow one another at once. */
export class Pace {
  private next = -Infinity;

  /** Waits until the next claim may begin: one in so many milliseconds. */
  async rest(interval: number): Promise<void> {
    const now = performance.now();
    this.next = Math.max(this.next, now) + interval;
    const wait = this.next - now - interval;
    if (wait > 0) await delay(wait);
  }
}
