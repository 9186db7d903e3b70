import type { WorkerLease } from '../store/worker-lease.js';
import type { Claimer } from './claimer.js';
import type { HandlerSlots } from './handler-slots.js';
import type { Handling } from './handling.js';
import { Pace } from './pace.js';

/** Handles deliveries after the commit: it claims as many as there are free slots, again and again. */
export class Worker {
  private readonly pace = new Pace();

  constructor(
    private readonly claimer: Claimer,
    private readonly handling: Handling,
    private readonly lease: WorkerLease,
    private readonly slots: HandlerSlots,
  ) {}

  /** Whether this process can claim deliveries. */
  get isClaiming(): boolean {
    return !this.claimer.halted && (!this.claimer.lacksLease || this.lease.isHeld);
  }

  /**
   * Claims and begins deliveries until a claim finds all that are available for the free slots. It does not wait for the attempts. After
   * that claim it rests, even if there was nothing, so that claims come once in `rest` milliseconds: each claims all that arrived
   * meanwhile together.
   *
   * @param drains as in {@link Claimer.claim}
   * @returns how many deliveries it has begun
   */
  async fill(rest = 0, drains = false): Promise<number> {
    let total = 0;
    for (;;) {
      while (this.slots.free <= 0 && !this.claimer.halted) await this.slots.freed();
      const { claimed, isMore } = await this.claimer.claim(this.handling, drains);
      total += claimed;
      if (isMore) continue;
      if (rest > 0) await this.pace.rest(rest);
      return total;
    }
  }

  /**
   * Handles deliveries until none is available and none is running.
   *
   * @throws the error of the renewal if this process has lost its lease and cannot get it back
   */
  async drain(): Promise<void> {
    for (;;) {
      const begun = await this.fill(0, true);
      if (begun === 0 && this.handling.isIdle && !this.claimer.lacksLease) return;
      if (this.claimer.lacksLease) await this.lease.regained();
      await this.handling.idle();
    }
  }

  /** Stops claiming deliveries, until `resume` is called. */
  halt(): void {
    this.claimer.halted = true;
    this.slots.resolveWaiting();
  }

  resume(): void {
    this.claimer.halted = false;
  }
}
