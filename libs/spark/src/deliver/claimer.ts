import type { DataSource } from 'typeorm';
import { SerialQueue } from '../common/serial-queue.js';
import type { SparkClock } from '../common/clock.js';
import type { ClaimRequest } from '../database/dialect.js';
import type { Transactions } from '../database/transactions.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { WorkerLease } from '../store/worker-lease.js';
import type { HandlerSlots } from './handler-slots.js';
import type { PassedOver } from './passed-over.js';

// How often a claim asks for suspects while there are other deliveries, in milliseconds. Without others, it asks at once.
const SUSPECTS_EVERY = 250;

// How many deliveries one claim takes at most. A larger one would delay the next, because the process is busy with the claimed ones.
const MOST = 500;

/** How many deliveries were claimed, and whether more may be available for the same handlers. */
export interface Claim {
  readonly claimed: number;
  readonly isMore: boolean;
}

/** The object that claims: the worker. */
export interface Claimant {
  /** The deliveries that it is handling. */
  running(): readonly Delivery[];
  /** Begins to handle claimed deliveries. `isMore`: the claim reached its limit, so more may be available. */
  begin(claimed: readonly Delivery[], suspect: boolean, isMore: boolean): void;
}

/** Claims as many deliveries as there are free slots. It runs one claim at a time, so that it counts the slots right. */
export class Claimer {
  private readonly claims = new SerialQueue();
  private suspectsAsked = -Infinity;
  /** Whether deliveries may be claimed in the database that this process does not run. */
  private hasUnknownClaims = false;
  /** Whether claims are halted. */
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

  /** Claims deliveries for the free slots, and begins to handle them. */
  claim(by: Claimant): Promise<Claim> {
    return this.claims.run(async () => {
      const isTime = performance.now() - this.suspectsAsked > SUSPECTS_EVERY;
      const first = await this.claimAs(by, isTime);
      return first.claimed > 0 || isTime ? first : this.claimAs(by, true);
    });
  }

  /** Lets the next claim give back the deliveries that are claimed for this process in the database, but that it does not run. */
  giveBackAtNextClaim(): void {
    this.hasUnknownClaims = true;
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
      const limit = Math.min(request.limit, MOST);
      const own = { ...request, limit, worker: this.lease.id, now: this.clock.now() };
      const deliveries = await this.claimSurely(by, own);
      const isFull = deliveries.length === limit;
      if (deliveries.length > 0) by.begin(deliveries, request.suspect, isFull);
      claimed += deliveries.length;
      isMore ||= isFull;
    }
    return { claimed, isMore };
  }

  private async claimSurely(by: Claimant, request: Omit<ClaimRequest, 'passed'>): Promise<Delivery[]> {
    if (this.hasUnknownClaims) await this.giveBackOthers(request.worker, by.running());
    // The passed ids are read just before each statement, because deliveries may be passed over meanwhile.
    const now = () => ({ ...request, passed: this.passed.ids });
    if (!(await this.deliveries.isWaiting(this.dataSource.manager, now()))) return [];
    // If the claim throws, it may have committed on the server.
    this.hasUnknownClaims = true;
    const claimed = await this.transactions.runShort((manager) => this.deliveries.claim(manager, now()));
    this.hasUnknownClaims = false;
    return claimed;
  }

  private async giveBackOthers(worker: string, running: readonly Delivery[]): Promise<void> {
    await this.transactions.run((manager) => this.deliveries.giveBackOthers(manager, worker, running));
    this.hasUnknownClaims = false;
  }
}
