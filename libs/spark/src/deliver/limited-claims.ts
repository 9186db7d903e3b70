import type { EntityManager } from 'typeorm';
import type { ClaimRequest } from '../database/dialect.js';
import type { Transactions } from '../database/transactions.js';
import type { Handler } from '../handler/handler.registry.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import { type FleetLimiter, type LimitedClaim, type LimitedQueue } from '../store/fleet-limiter.js';
import type { HandlerQueue, Queues } from './queues.js';

/** The claimed deliveries, and whether more may be available. */
export interface ClaimedDeliveries {
  readonly deliveries: readonly Delivery[];
  readonly isMore: boolean;
}

/** Claims from those queues of a request whose limits allow it. */
export type ClaimWithin = (manager: EntityManager, open: readonly HandlerQueue[]) => Promise<ClaimedDeliveries>;

/** A queue of a handler with limits over all processes. */
type Limited = HandlerQueue & LimitedQueue;

// How long after its claim a handler of a rate may be called, in milliseconds: a tenth of the rate's time within these bounds.
const [SOONEST, LATEST] = [100, 2_000];
const LONGEST = 60_000;
const SHRINK = 0.9;
const GROWTH = 2.5;
// A timer may be early by a millisecond.
const LATER = 2;
const LONGEST_TIMER = 60 * 60_000;
// How long queues with limits are left out after a claim has failed, in milliseconds.
const AFTER_FAILURE = 2_000;

/** Claims from queues of which some have limits over all processes: in one transaction with the rows that count. */
export class LimitedClaims {
  /** How long after its claim each handler may be called, in milliseconds. It grows where this process is slow, and shrinks again. */
  private readonly delays = new Map<string, number>();
  /** The handlers that could not be called in time since their last claim. */
  private readonly slow = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private timerAt = Infinity;

  constructor(
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly limiter: FleetLimiter,
    private readonly queues: Queues,
    /** Called when a queue may be claimed from that could not be claimed from before. */
    private readonly onWaited: () => void,
  ) {}

  /**
   * Claims as far as the limits allow. Queues that reach a limit are left out until they may have room. If the claim fails, the next ones
   * leave out its queues with limits for a moment, so that the limit of one handler stops no other handler.
   *
   * @param claim claims in the transaction; default: what is due in the queues
   */
  async claim(request: ClaimRequest<HandlerQueue>, claim?: ClaimWithin): Promise<ClaimedDeliveries> {
    const limited = request.queues.filter(isLimited);
    try {
      return await this.claimWithin(request, limited, claim);
    } catch (error) {
      for (const queue of limited) this.queues.wait(queue, request.suspect, AFTER_FAILURE);
      this.arm();
      throw error;
    }
  }

  private async claimWithin(
    request: ClaimRequest<HandlerQueue>,
    limited: readonly Limited[],
    claimDue: ClaimWithin = (manager, open) =>
      this.deliveries.claim(manager, { ...request, queues: open, durable: true }),
  ): Promise<ClaimedDeliveries> {
    await this.limiter.prepare(this.transactions.manager, limited);
    const began = performance.now();
    const delays = new Map<string, number>();
    for (const { owner } of limited) if (!delays.has(owner.name)) delays.set(owner.name, this.delayOf(owner));
    const { claimed, admission } = await this.transactions.run(async (manager) => {
      const admitted = await this.limiter.admit(manager, limited);
      const open = request.queues.flatMap((queue) => {
        const room = isLimited(queue) ? admitted.rooms.get(queue) : {};
        // A call with many events counts once, so it may have as many as it has room for.
        return room ? [queue.owner.batch ? queue : { ...queue, ...room }] : [];
      });
      if (open.length === 0) return { claimed: { deliveries: [], isMore: false }, admission: admitted };
      const claim = await claimDue(manager, open);
      await this.limiter.count(manager, admitted, countedOf(claim.deliveries, limited, delays));
      return { claimed: claim, admission: admitted };
    });
    for (const [queue, milliseconds] of admission.waits)
      this.queues.wait(queue as Limited, request.suspect, milliseconds);
    this.arm();
    const deliveries = claimed.deliveries.map((delivery) => this.inTime(delivery, limited, delays, began));
    // The next claim finds out how long those wait that have reached a limit now.
    const isMore = claimed.isMore || deliveries.some((delivery) => queueOf(delivery, limited) !== undefined);
    return { deliveries, isMore: isMore || (admission.waits.size > 0 && this.queues.leavesOut) };
  }

  /** Notes that a handler could not be called in time after a claim. */
  tooLate(handler: string): void {
    this.slow.add(handler);
  }

  /** The delivery, with the time until which its handler may be called. */
  private inTime(
    delivery: Delivery,
    limited: readonly Limited[],
    delays: ReadonlyMap<string, number>,
    began: number,
  ): Delivery {
    const queue = queueOf(delivery, limited);
    if (!queue?.owner.limits.rate) return delivery;
    const { name } = queue.owner;
    const delay = delays.get(name)!;
    this.delays.set(name, delay * SHRINK);
    return { ...delivery, startBy: began + delay };
  }

  private delayOf({ name, limits }: LimitedQueue['owner']): number {
    const usual = Math.min(LATEST, Math.max(SOONEST, (limits.rate?.per ?? 0) / 10));
    const last = Math.max(usual, this.delays.get(name) ?? 0);
    const delay = Math.min(LONGEST, this.slow.delete(name) ? GROWTH * last : last);
    this.delays.set(name, delay);
    return delay;
  }

  /** Starts the timer for the queue that may be claimed from first. */
  private arm(): void {
    const next = this.queues.nextWait() ?? Infinity;
    if (next >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = next;
    this.timer = setTimeout(
      () => {
        this.timerAt = Infinity;
        this.onWaited();
        this.arm();
      },
      Math.min(next - performance.now() + LATER, LONGEST_TIMER),
    );
    this.timer.unref();
  }
}

/** What counts against limits: each delivery of a handler of single events, and the first one of a call with many. */
function countedOf(
  deliveries: readonly Delivery[],
  limited: readonly Limited[],
  delays: ReadonlyMap<string, number>,
): LimitedClaim[] {
  const called = new Set<Handler>();
  return deliveries.flatMap((delivery) => {
    const queue = queueOf(delivery, limited);
    if (!queue || called.has(queue.owner)) return [];
    if (queue.owner.batch) called.add(queue.owner);
    return [{ id: delivery.id, queue, delay: delays.get(queue.owner.name)! }];
  });
}

const isLimited = (queue: HandlerQueue): queue is Limited => queue.owner.limits !== undefined;

const queueOf = ({ handler, partition }: Delivery, limited: readonly Limited[]): Limited | undefined =>
  limited.find((queue) => queue.handler === handler && queue.partition === partition);
