import type { DataSource } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { Deliveries } from '../store/deliveries.js';
import type { Carriage } from './carriage.js';
import type { Queues } from './queues.js';

// How often a claim looks for queues while it finds deliveries, in milliseconds. When it finds none, it looks at once.
const LOOK_EVERY = 250;
// A look reads what the database has not yet removed of deliveries that were claimed, so that it may take long while a transaction is open.
// Then looks take one part of so many of the time.
const SHARE = 20;
const LOOK_AT_LEAST_EVERY = 5_000;

/** How many deliveries were claimed or dispatched, and whether more may be available. */
export interface Claim {
  readonly claimed: number;
  readonly isMore: boolean;
}

/** Looks for queues in the database, so that claims know from which queues to claim. */
export class Looks {
  private nextLook = -Infinity;
  private mustLook = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly deliveries: Deliveries,
    private readonly carriage: Carriage,
    private readonly queues: Queues,
    private readonly clock: SparkClock,
  ) {}

  /** Lets the next claim look for queues first: there may be deliveries of another priority, or of suspects. */
  lookAtNextClaim(): void {
    this.mustLook = true;
  }

  /**
   * Runs a claim from the queues that the last look has found. If the claim finds nothing, it looks and claims again.
   *
   * @param canWait whether the claim need not look again: the next one that is due finds what there is early enough
   */
  async claim<C extends Claim>(claim: () => Promise<C>, canWait = false): Promise<C> {
    const isTime = this.mustLook || performance.now() > this.nextLook;
    if (isTime) await this.look();
    const first = await claim();
    if (first.claimed > 0 || first.isMore || isTime || canWait || !(await this.look())) return first;
    return claim();
  }

  /** Looks for queues in the database. Returns whether claims now find deliveries that they did not read before. */
  private async look(): Promise<boolean> {
    const began = performance.now();
    const now = this.clock.now();
    this.mustLook = false;
    const found = await this.deliveries.queuesOf(this.dataSource.manager, this.carriage.names);
    const ended = performance.now();
    this.nextLook = ended + Math.min(LOOK_AT_LEAST_EVERY, Math.max(LOOK_EVERY, (ended - began) * SHARE));
    return this.queues.remember(found, now);
  }
}
