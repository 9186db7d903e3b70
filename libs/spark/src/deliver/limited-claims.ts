import type { ClaimRequest } from '../database/dialect.js';
import type { Transactions } from '../database/transactions.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import { type FleetLimiter, type LimitedClaim, type LimitedQueue } from '../store/fleet-limiter.js';
import type { HandlerQueue, Queues } from './queues.js';

/** The claimed deliveries, and whether more may be available. */
export interface ClaimedDeliveries {
  readonly deliveries: readonly Delivery[];
  readonly isMore: boolean;
}

/** A queue of a handler with limits over all processes. */
type Limited = HandlerQueue & LimitedQueue;

// How long after its claim a handler of a rate may be called, in milliseconds: a tenth of the rate's time within these bounds.
const [SOONEST, LATEST] = [100, 2_000];
const LONGEST = 60_000;
const SHRINK = 0.9;

/** Claims from queues of which some have limits over all processes: in one transaction with the rows that count. */
export class LimitedClaims {
  /** How long after the last claim each handler may be called, in milliseconds. It grows where this process is slow, and shrinks again. */
  private readonly delays = new Map<string, number>();

  /** The handlers that could not be called in time since their last claim. */
  private readonly slow = new Set<string>();

  constructor(
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly limiter: FleetLimiter,
    private readonly queues: Queues,
    /** Called with the time until a queue may be claimed from that cannot be claimed from now, in milliseconds. */
    private readonly onWait: (milliseconds: number) => void,
  ) {}

  /** Claims as far as the limits allow. Queues that reach a limit are left out until they may have room. */
  async claim(request: ClaimRequest<HandlerQueue>): Promise<ClaimedDeliveries> {
    const limited = request.queues.filter(isLimited);
    await this.limiter.prepare(this.transactions.manager, limited);
    const began = performance.now();
    for (const { owner } of limited) this.delays.set(owner.name, this.nextDelay(owner));
    const { claimed, waits } = await this.transactions.run(async (manager) => {
      const admission = await this.limiter.admit(manager, limited);
      const open = request.queues.flatMap((queue) => {
        const room = isLimited(queue) ? admission.rooms.get(queue) : {};
        return room ? [{ ...queue, ...room }] : [];
      });
      if (open.length === 0) return { claimed: { deliveries: [], isMore: false }, waits: admission.waits };
      const claim = await this.deliveries.claim(manager, { ...request, queues: open, durable: true });
      await this.limiter.count(manager, admission, this.countedOf(claim.deliveries, limited));
      return { claimed: claim, waits: admission.waits };
    });
    for (const [queue, milliseconds] of waits) this.queues.wait(queue as Limited, request.suspect, milliseconds);
    if (waits.size > 0) this.onWait(Math.min(...waits.values()));
    return { ...claimed, deliveries: claimed.deliveries.map((delivery) => this.inTime(delivery, limited, began)) };
  }

  /** Notes that a handler could not be called in time after a claim. */
  tooLate(handler: string): void {
    this.slow.add(handler);
  }

  private countedOf(deliveries: readonly Delivery[], limited: readonly Limited[]): LimitedClaim[] {
    return deliveries.flatMap((delivery) => {
      const queue = queueOf(delivery, limited);
      return queue ? [{ id: delivery.id, queue, delay: this.delays.get(queue.owner.name)! }] : [];
    });
  }

  /** The delivery, with the time until which its handler may be called. */
  private inTime(delivery: Delivery, limited: readonly Limited[], began: number): Delivery {
    const queue = queueOf(delivery, limited);
    if (!queue?.owner.limits.rate) return delivery;
    return { ...delivery, startBy: began + this.delays.get(queue.owner.name)! };
  }

  private nextDelay({ name, limits }: LimitedQueue['owner']): number {
    const usual = Math.min(LATEST, Math.max(SOONEST, (limits.rate?.per ?? 0) / 10));
    const last = this.delays.get(name) ?? usual;
    return Math.min(LONGEST, Math.max(usual, this.slow.delete(name) ? 2 * last : SHRINK * last));
  }
}

const isLimited = (queue: HandlerQueue): queue is Limited => queue.owner.limits !== undefined;

const queueOf = ({ handler, partition }: Delivery, limited: readonly Limited[]): Limited | undefined =>
  limited.find((queue) => queue.handler === handler && queue.partition === partition);
