import type { DataSource } from 'typeorm';
import { SerialQueue } from '../common/serial-queue.js';
import type { SparkClock } from '../common/clock.js';
import type { ClaimRequest, DispatchedRow } from '../database/dialect.js';
import type { Transactions } from '../database/transactions.js';
import { type Handler, namesOf } from '../handler/handler.registry.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { WorkerLease } from '../store/worker-lease.js';
import type { Batch } from '../handler/batch-settings.js';
import type { BatchClaims } from './batch-claims.js';
import type { Carriage } from './carriage.js';
import type { HandlerRoom, HandlerSlots } from './handler-slots.js';
import type { PassedOver } from './passed-over.js';
import type { ClaimedDeliveries, LimitedClaims } from './limited-claims.js';
import type { Claim, Looks } from './looks.js';
import type { HandlerQueue, Queues } from './queues.js';

// How many deliveries one claim takes at most. A larger one would delay the next, because the process is busy with the claimed ones.
const MOST = 500;

// How many events of digests this process asks for their keys at the same time, for each handler.
const MOST_FRESH = 1_000;

// How long a process claims no deliveries of a handler of which it has found one of a later release, in milliseconds.
const OUTDATED = 5_000;

const NOTHING: Claim = { claimed: 0, isMore: false };

/** What was dispatched. */
export interface Dispatch extends Claim {
  readonly rows: readonly DispatchedRow[];
  /** The lease under which it was dispatched. */
  readonly by: string;
}

const NOT_DISPATCHED: Dispatch = { ...NOTHING, rows: [], by: '' };

/** The object that handles what is claimed. */
export interface Claimant {
  /** The deliveries that it is handling. */
  running(): readonly Delivery[];
  /** Begins to handle claimed deliveries. `isMore`: the claim reached its limit, so more may be available. */
  begin(claimed: readonly Delivery[], suspect: boolean, isMore: boolean): void;
}

/** Claims as many deliveries as there are free slots. It runs one claim at a time, so that it counts the slots right. */
export class Claimer {
  private readonly claims = new SerialQueue();
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
    private readonly queues: Queues,
    private readonly looks: Looks,
    private readonly limited: LimitedClaims,
    private readonly batches: BatchClaims,
    private readonly passed: PassedOver,
    private readonly carriage: Carriage,
    private readonly clock: SparkClock,
  ) {}

  /**
   * Claims deliveries for the free slots, and begins to handle them.
   *
   * @param drains whether it also claims what a carrier would bring, and calls with many events begin with what is there
   */
  claim(by: Claimant, drains = false): Promise<Claim> {
    return this.claims.run(async () => {
      const rooms = this.slots.rooms();
      if (this.halted || !this.carriage.works || rooms.length === 0) {
        this.lacksLease = false;
        return NOTHING;
      }
      const findsOnlySuspects = !drains && rooms.every(({ handler }) => this.carriage.carries(handler));
      return this.looks.claim(() => this.claimAll(by, drains), findsOnlySuspects);
    });
  }

  /** Dispatches deliveries of these handlers, up to the room of each. Those that get lost are due again after `ttl` milliseconds. */
  dispatch(rooms: readonly HandlerRoom[], ttl: number): Promise<Dispatch> {
    return this.claims.run(async () => {
      if (this.halted || !(await this.hasLease()) || rooms.length === 0) return NOT_DISPATCHED;
      return this.looks.claim(() => this.dispatchFrom(rooms, ttl));
    });
  }

  /**
   * Takes deliveries over that a carrier has brought, and begins to handle them.
   *
   * @param choose returns their ids; it is called when no other claim runs, so that it can count the free slots
   * @param ttl how long they may be on their way, in milliseconds
   * @returns those that were taken over; undefined if this process may not claim now
   */
  takeOver(by: Claimant, choose: () => readonly string[], ttl: number): Promise<readonly Delivery[] | undefined> {
    return this.claims.run(async () => {
      if (this.halted || !(await this.isReady(by))) return undefined;
      const ids = choose();
      if (ids.length === 0) return [];
      const request = { worker: this.lease.id, now: this.clock.now(), ttl, ids };
      const deliveries = await this.surely(() =>
        this.transactions.runShort((manager) => this.deliveries.takeOver(manager, request)),
      );
      if (deliveries.length > 0) by.begin(deliveries, false, false);
      return deliveries;
    });
  }

  /**
   * Notes that a delivery is settled. If all processes together handle only so many of its handler's, the next one may begin.
   *
   * @returns whether a claim may find deliveries for that reason
   */
  settled({ name, limits }: Handler): boolean {
    if (limits?.concurrency === undefined) return false;
    this.queues.resume(name);
    return true;
  }

  /** Notes that a handler could not be called in time after its claim, so that its rate limit counts the next ones for longer. */
  tooLate({ name }: Handler): void {
    this.limited.tooLate(name);
    // It is due from before the last look.
    this.looks.lookAtNextClaim();
  }

  /**
   * Notes that a later release has stored a delivery of a handler. For a moment, the handler's deliveries are left to processes of that
   * release, which can handle all of them.
   */
  isOutdated({ name }: Handler): void {
    this.queues.leaveOut(name, OUTDATED);
  }

  /** Lets the next claim give back the deliveries that are claimed for this process in the database, but that it does not run. */
  giveBackAtNextClaim(): void {
    this.hasUnknownClaims = true;
  }

  /** Claims one suspect if there is any, and other deliveries for all other free slots. */
  private async claimAll(by: Claimant, drains: boolean): Promise<Claim> {
    if (!(await this.isReady(by))) return NOTHING;
    const isOwn = ({ handler }: HandlerRoom) => drains || !this.carriage.carries(handler);
    const suspects = this.slots.mayTakeSuspect ? this.queues.ofSuspects(this.slots.rooms()) : [];
    const suspect = await this.claimFrom(by, suspects, true);
    const rooms = this.slots.rooms();
    const many = rooms.filter(getsMany);
    const calls = many.length > 0 ? await this.claimCalls(by, many, drains) : NOTHING;
    const single = many.length > 0 ? this.slots.rooms().filter((room) => !getsMany(room)) : rooms;
    const others = await this.claimFrom(by, this.queues.ofOthers(single.filter(isOwn)), false);
    const claimed = suspect.claimed + calls.claimed + others.claimed;
    // The suspect may have taken the last slot.
    return { claimed, isMore: calls.isMore || others.isMore || this.slots.free <= 0 };
  }

  /** Whether this process has a lease under which it can claim. What a claim before may have claimed unseen is given back. */
  private async isReady(by: Claimant): Promise<boolean> {
    this.lacksLease = !(await this.hasLease());
    if (this.lacksLease) return false;
    if (this.hasUnknownClaims) await this.giveBackOthers(this.lease.id, by.running());
    return true;
  }

  private async hasLease(): Promise<boolean> {
    await this.lease.start();
    return this.lease.isHeld;
  }

  private async dispatchFrom(rooms: readonly HandlerRoom[], ttl: number): Promise<Dispatch> {
    // Only a delivery that is handled takes a connection.
    const queues = this.queues.ofOthers(rooms).map((queue) => ({ ...queue, connects: false }));
    if (queues.length === 0) return NOT_DISPATCHED;
    const limits = { limit: MOST, connections: MOST };
    const by = this.lease.id;
    const now = this.clock.now();
    const request = { ...limits, queues, suspect: false, worker: by, now, passed: this.passed.ids, durable: false };
    const open = await this.deliveries.waiting(this.dataSource.manager, request);
    if (open.length === 0) return NOT_DISPATCHED;
    const { rows, isMore } = await this.transactions.runShort((manager) =>
      this.deliveries.dispatch(manager, { ...request, queues: open }, now + ttl),
    );
    const served = rows.map(({ handler, partition_key: partition }) => ({ handler, partition }));
    this.queues.serve(served);
    return { rows, by, claimed: rows.length, isMore: isMore || this.queues.hasSpent(queues, served) };
  }

  /** Claims for handlers of many events, one handler after the other. */
  private async claimCalls(by: Claimant, rooms: readonly RoomOfMany[], hurries: boolean): Promise<Claim> {
    let claimed = 0;
    let isMore = false;
    for (const { handler } of rooms) {
      const room = this.slots.rooms().find((one) => one.handler === handler)?.room ?? 0;
      const queues = room > 0 ? this.queues.ofOthers([{ handler, room }]) : [];
      if (queues.length === 0) continue;
      const fresh = by
        .running()
        .filter(({ handler: name, digest }) => !digest && namesOf(handler).includes(name)).length;
      const request = { handler, queues, worker: this.lease.id, room, freshRoom: MOST_FRESH - fresh, hurries };
      const found = await this.batches.claim(request, (claim) => this.surely(claim));
      for (const deliveries of found.calls) {
        this.queues.serve(deliveries);
        by.begin(deliveries, false, found.isMore);
        claimed += deliveries.length;
      }
      isMore ||= found.isMore;
    }
    return { claimed, isMore };
  }

  private async claimFrom(by: Claimant, queues: readonly HandlerQueue[], suspect: boolean): Promise<Claim> {
    if (queues.length === 0) return NOTHING;
    const limit = suspect ? 1 : Math.min(this.slots.free, MOST);
    const limits = { limit, connections: this.slots.freeConnections };
    const request = { ...limits, queues, suspect, worker: this.lease.id, now: this.clock.now(), durable: suspect };
    const { deliveries, ...claim } = await this.claimSurely(request);
    const isMore = claim.isMore || this.queues.hasSpent(queues, deliveries);
    if (deliveries.length > 0) {
      this.queues.serve(deliveries);
      by.begin(deliveries, suspect, isMore);
    }
    return { claimed: deliveries.length, isMore: isMore || this.hasRoomAgain(queues, deliveries) };
  }

  /** Whether a handler got as many deliveries as it had room for, and has room again, because others of its deliveries ended meanwhile. */
  private hasRoomAgain(queues: readonly HandlerQueue[], claimed: readonly Delivery[]): boolean {
    const rooms = new Map(queues.map(({ owner, room }) => [owner, room]));
    return [...rooms].some(([owner, room]) => {
      if (claimed.length < room) return false;
      const names = namesOf(owner);
      return claimed.filter(({ handler }) => names.includes(handler)).length >= room && this.slots.hasRoom(owner);
    });
  }

  private async claimSurely(request: Omit<ClaimRequest<HandlerQueue>, 'passed'>): Promise<ClaimedDeliveries> {
    // The passed ids are read just before each statement, because deliveries may be passed over meanwhile.
    const now = () => ({ ...request, passed: this.passed.ids });
    const queues = await this.deliveries.waiting(this.dataSource.manager, now());
    if (queues.length === 0) return { deliveries: [], isMore: false };
    return this.surely(() => this.claimNow({ ...now(), queues }));
  }

  /** Runs a claim. If it throws, it may have committed on the server. */
  private async surely<T>(claim: () => Promise<T>): Promise<T> {
    this.hasUnknownClaims = true;
    const claimed = await claim();
    this.hasUnknownClaims = false;
    return claimed;
  }

  private claimNow(request: ClaimRequest<HandlerQueue>): Promise<ClaimedDeliveries> {
    if (request.queues.some(({ owner }) => owner.limits)) return this.limited.claim(request);
    return this.transactions.runShort((manager) => this.deliveries.claim(manager, request));
  }

  private async giveBackOthers(worker: string, running: readonly Delivery[]): Promise<void> {
    await this.transactions.run((manager) => this.deliveries.giveBackOthers(manager, worker, running));
    this.hasUnknownClaims = false;
  }
}

/** A handler of many events, and how many calls of it may begin. */
type RoomOfMany = HandlerRoom & { readonly handler: Handler & { readonly batch: Batch } };

const getsMany = (room: HandlerRoom): room is RoomOfMany => room.handler.batch !== undefined;
