import type { SparkClock } from '../common/clock.js';
import type { ClaimRequest } from '../database/dialect.js';
import type { Transactions } from '../database/transactions.js';
import type { Batch } from '../handler/batch-settings.js';
import { type Handler, namesOf } from '../handler/handler.registry.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { ClaimedDeliveries, LimitedClaims } from './limited-claims.js';
import type { PassedOver } from './passed-over.js';
import type { HandlerQueue } from './queues.js';

/** What a claim for a handler of many events is made for. */
export interface BatchClaimRequest {
  readonly handler: Handler & { readonly batch: Batch };
  /** Its queues, at least one. */
  readonly queues: readonly HandlerQueue[];
  readonly worker: string;
  /** How many calls may begin. */
  readonly room: number;
  /** How many events whose keys are not known may be claimed. */
  readonly freshRoom: number;
  /** Whether calls begin with what is there, without the time in which their first event waits for more. */
  readonly hurries: boolean;
}

/** The deliveries of each call, and whether there may be more. */
export interface ClaimedCalls {
  readonly calls: readonly (readonly Delivery[])[];
  readonly isMore: boolean;
}

/** How a claim sends statements that claim: see `Claimer`. */
export type Surely = <T>(claim: () => Promise<T>) => Promise<T>;

const NOTHING: ClaimedCalls = { calls: [], isMore: false };

/** Claims the deliveries of calls with many events. */
export class BatchClaims {
  constructor(
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly limited: LimitedClaims,
    private readonly passed: PassedOver,
    private readonly clock: SparkClock,
    /** Called when deliveries are due at an instant that are not claimed now, in epoch ms. */
    private readonly onDue: (due: number) => void,
  ) {}

  /** Claims for a handler: one call, or several digests of different keys. */
  claim(request: BatchClaimRequest, surely: Surely): Promise<ClaimedCalls> {
    return request.handler.batch.digest ? this.claimDigests(request, surely) : this.claimFirstCall(request, surely);
  }

  /** Claims a call from the first partition that has one. */
  private async claimFirstCall(request: BatchClaimRequest, surely: Surely): Promise<ClaimedCalls> {
    const partitions = new Set(request.queues.map(({ partition }) => partition));
    for (const partition of partitions) {
      const { deliveries, isMore } = await this.claimCall(request, partition, surely);
      // The other partitions may have more.
      if (deliveries.length > 0) return { calls: [deliveries], isMore: isMore || partitions.size > 1 };
    }
    return NOTHING;
  }

  /** Claims a call of what is due in a partition, unless its first event still waits for more. */
  private async claimCall(request: BatchClaimRequest, partition: string, surely: Surely): Promise<ClaimedDeliveries> {
    const { handler, hurries } = request;
    const { max, wait } = handler.batch;
    const queues = request.queues.filter((queue) => queue.partition === partition).map((queue) => ofCall(queue, max));
    const none = { deliveries: [], isMore: false };
    if (wait > 0 && !hurries && !(await this.isComplete(queues, max, wait))) return none;
    // It names the queues that have something. Without them, no transaction begins.
    const open = await this.deliveries.waiting(this.transactions.manager, this.requestOf(queues, request, max));
    if (open.length === 0) return none;
    const claim = this.requestOf(open, request, max);
    return surely(() =>
      handler.limits
        ? this.limited.claim(claim)
        : this.transactions.runShort((manager) => this.deliveries.claim(manager, claim)),
    );
  }

  /** Whether a call may begin: it has all events that it may have, or its first one has waited long enough. */
  private async isComplete(queues: readonly HandlerQueue[], max: number, wait: number): Promise<boolean> {
    const now = this.clock.now();
    const request = { now, passed: this.passed.ids };
    const { count, since } = await this.deliveries.countDue(this.transactions.manager, queues, request, max);
    const end = since + wait;
    if (count > 0 && count < max && end > now) this.onDue(end);
    return count >= max || (count > 0 && end <= now);
  }

  /** Claims events whose keys are not known yet, and the digests of keys that are due. */
  private async claimDigests(request: BatchClaimRequest, surely: Surely): Promise<ClaimedCalls> {
    const { room, freshRoom, worker } = request;
    const now = this.clock.now();
    const { passed } = this;
    const { manager } = this.transactions;
    const due = await this.deliveries.dueDigests(manager, request.queues, { now, passed: passed.ids });
    const ids = due.fresh.slice(0, Math.max(0, freshRoom));
    const fresh =
      ids.length === 0
        ? []
        : await surely(() =>
            this.transactions.run((within) => this.deliveries.claimFresh(within, { worker, now }, ids)),
          );
    const digests = due.keys.length === 0 || room <= 0 ? [] : await this.claimKeys(request, due.keys, now, surely);
    const calls = fresh.length > 0 ? [fresh, ...digests] : digests;
    return { calls, isMore: calls.length > 0 };
  }

  private async claimKeys(request: BatchClaimRequest, keys: readonly string[], now: number, surely: Surely) {
    const { handler, worker } = request;
    const { max, digest } = handler.batch;
    // A claim counts once against limits.
    const limit = handler.limits ? 1 : request.room;
    const wanted = { names: namesOf(handler), keys, limit, max, worker, now, passed: this.passed.ids };
    let calls: Delivery[][] = [];
    let postponed: number[] = [];
    const claim = async (manager: Parameters<Deliveries['claimDigests']>[0]) => {
      postponed = [];
      calls = await this.deliveries.claimDigests(manager, wanted, digest!.throttle, (until) => postponed.push(until));
      return { deliveries: calls.flat(), isMore: false };
    };
    const queues = request.queues.map((queue) => ofCall(queue, max));
    const { deliveries } = await surely(() =>
      handler.limits ? this.limited.claim(this.requestOf(queues, request, max), claim) : this.transactions.run(claim),
    );
    for (const until of postponed) this.onDue(until);
    // The limits may have set until when the handler may be called.
    const byId = new Map(deliveries.map((delivery) => [delivery.id, delivery]));
    return calls.map((call) => call.flatMap(({ id }) => byId.get(id) ?? [])).filter((call) => call.length > 0);
  }

  private requestOf(
    queues: readonly HandlerQueue[],
    request: BatchClaimRequest,
    max: number,
  ): ClaimRequest<HandlerQueue> {
    const limits = { limit: max, connections: max };
    const { worker } = request;
    return {
      ...limits,
      queues,
      suspect: false,
      worker,
      now: this.clock.now(),
      passed: this.passed.ids,
      durable: false,
    };
  }
}

// A call holds one connection, however many deliveries it has.
const ofCall = (queue: HandlerQueue, max: number): HandlerQueue => ({
  ...queue,
  room: max,
  most: max,
  connects: false,
});
