import type { DataSource } from 'typeorm';
import { SerialQueue } from '../common/serial-queue.js';
import type { SparkClock } from '../common/clock.js';
import type { ClaimRequest } from '../database/dialect.js';
import type { Transactions } from '../database/transactions.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { WorkerLease } from '../store/worker-lease.js';
import type { HandlerSlots } from './handler-slots.js';
import type { PassedOver } from './passed-over.js';

// While there is other work; without it, suspects are asked for at once. In milliseconds.
const SUSPECTS_EVERY = 250;

/** How many deliveries were claimed, and whether there may be more for the handlers that were asked for. */
export interface Claim {
  readonly claimed: number;
  readonly isMore: boolean;
}

/** Who claims. */
export interface Claimant {
  /** What it is at work on. */
  running(): readonly Delivery[];
  /** Begins with what was claimed. `isMore`: the claim was as large as it could be. */
  begin(claimed: readonly Delivery[], suspect: boolean, isMore: boolean): void;
}

/** Claims deliveries that there is a place for. One claim at a time, so that places are counted right. */
export class Claimer {
  private readonly claims = new SerialQueue();
  private suspectsAsked = -Infinity;
  private unsure = false;
  /** Whether nothing is claimed at the moment. */
  halted = false;
  /** Whether the last claim claimed nothing because this process had lost its lease. */
  lacksLease = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly lease: WorkerLease,
    private readonly deliveries: Deliveries,
    private readonly slots: HandlerSlots,
    private readonly passed: PassedOver,
    private readonly clock: SparkClock,
  ) {}

  /** Claims what there is a place for, and begins with it. */
  claim(by: Claimant): Promise<Claim> {
    return this.claims.run(async () => {
      const isTime = performance.now() - this.suspectsAsked > SUSPECTS_EVERY;
      const first = await this.claimAs(by, isTime);
      return first.claimed > 0 || isTime ? first : this.claimAs(by, true);
    });
  }

  /** The rows of this process may say that more is running than what is: the next claim gives that back. */
  doubt(): void {
    this.unsure = true;
  }

  private async claimAs(by: Claimant, suspects: boolean): Promise<Claim> {
    let claimed = 0;
    let isMore = false;
    this.lacksLease = false;
    if (suspects) this.suspectsAsked = performance.now();
    for (const request of this.halted ? [] : this.slots.requests(suspects)) {
      await this.lease.start();
      this.lacksLease = !this.lease.isHeld;
      if (this.lacksLease) break;
      const deliveries = await this.claimSurely(by, { ...request, worker: this.lease.id, now: this.clock.now() });
      const isFull = deliveries.length === request.limit;
      if (deliveries.length > 0) by.begin(deliveries, request.suspect, isFull);
      claimed += deliveries.length;
      isMore ||= isFull;
    }
    return { claimed, isMore };
  }

  private async claimSurely(by: Claimant, request: Omit<ClaimRequest, 'passed'>): Promise<Delivery[]> {
    if (this.unsure) await this.giveBackOthers(request.worker, by.running());
    // As late as can be: others are given back meanwhile.
    const now = () => ({ ...request, passed: this.passed.ids });
    if (!(await this.deliveries.isWaiting(this.dataSource.manager, now()))) return [];
    // A claim that fails here may have arrived there.
    this.unsure = true;
    const claimed = await this.transactions.runShort((manager) => this.deliveries.claim(manager, now()));
    this.unsure = false;
    return claimed;
  }

  private async giveBackOthers(worker: string, running: readonly Delivery[]): Promise<void> {
    await this.transactions.run((manager) => this.deliveries.giveBackOthers(manager, worker, running));
    this.unsure = false;
  }
}
