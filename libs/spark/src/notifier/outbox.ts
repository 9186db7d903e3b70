import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { bothOf, isNoWork, NO_WORK, type Work } from './notifier.js';

/** Whom a notification is for, from the most to the least: see `Notifier`. */
const REACHES = ['all', 'one', 'hint'] as const;
export type Reach = (typeof REACHES)[number];

// Notifications within this time are sent together, in milliseconds.
const TOGETHER = 10;
// The longest such time, in milliseconds, where many other processes notify as well.
const LONGEST = 250;

/**
 * Sends a notification at once. Those of the next 10 ms, or until the database has answered, are sent together afterwards. For each
 * notification that this process gets meanwhile, it waits 10 ms longer, so that all processes together send about as many as one would.
 */
export class Outbox {
  private readonly unsent = new Map<Reach, Work>();
  private isResting = false;
  private received = 0;
  /** Sends in the async context in which the outbox was created, so that no request's trace has it. */
  private readonly enter = AsyncLocalStorage.snapshot();

  constructor(
    /** Sends a notification. Resolves when the database has answered. */
    private readonly send: (reach: Reach, work: Work) => Promise<unknown>,
  ) {}

  add(reach: Reach, work: Work): void {
    if (isNoWork(work)) return;
    this.unsent.set(reach, bothOf(this.unsent.get(reach) ?? NO_WORK, work));
    if (!this.isResting) this.enter(() => void this.sendAll(TOGETHER));
  }

  /** Counts a notification that all processes have got. */
  count(): void {
    this.received++;
  }

  private async sendAll(rest: number): Promise<void> {
    const reach = REACHES.find((one) => this.unsent.has(one))!;
    const work = [...this.unsent.values()].reduce(bothOf);
    this.unsent.clear();
    this.isResting = true;
    this.received = 0;
    // If the connection fails, its `error` or `end` event handles that.
    const sent = this.send(reach, work).catch(() => undefined);
    await Promise.all([sent, delay(rest, undefined, { ref: false })]);
    this.isResting = false;
    if (this.unsent.size > 0) void this.sendAll(Math.min(TOGETHER * (1 + this.received), LONGEST));
  }
}
