import type { FoundQueue, OpenQueue, Queue } from '../database/claim-queues.js';
import { type Handler, namesOf } from '../handler/handler.registry.js';
import type { Delivery } from '../store/deliveries.js';
import type { HandlerRoom } from './handler-slots.js';

/**
 * A delivery becomes visible when its transaction commits, and is due from before that. Claims also read what was due for so many
 * milliseconds before the last look, so that they find deliveries of usual transactions. The next look finds the others.
 */
const MARGIN = 1_000;

/** From how many partitions of a handler one claim takes deliveries at most. */
const PARTITIONS = 100;

/** A queue to claim from, with its handler. */
export interface HandlerQueue extends OpenQueue {
  readonly owner: Handler;
  readonly most: number;
}

/** What distinguishes a queue from all others. */
type Named = Omit<FoundQueue, 'since' | 'sinceId'>;

/** The queues of this process's handlers, and the order in which it claims from them. */
export class Queues {
  /** The queues that the last look has found, by their id. */
  private found: ReadonlyMap<string, FoundQueue> = new Map();
  /** The same, by the name of the handler. */
  private byHandler: ReadonlyMap<string, readonly FoundQueue[]> = new Map();
  /** The instant of the last look, in epoch ms. */
  private lookedAt = 0;
  /** When each handler was last claimed for, as a number that grows. */
  private readonly served = new Map<string, number>();
  /** The same for the partitions of handlers. */
  private readonly servedParts = new Map<string, number>();
  private claims = 0;
  /** Whether the last request has left out queues, because there were too many. */
  leavesOut = false;
  /** Until when queues wait for a limit of their handler, by `performance.now()`. */
  private readonly waits = new Map<string, { readonly handler: string; readonly until: number }>();
  /** Until when all queues of a handler are left out, by its name and `performance.now()`. */
  private readonly left = new Map<string, number>();

  /**
   * Remembers the queues that a look at the instant `now` has found.
   *
   * @returns whether claims now find deliveries that they did not read before
   */
  remember(found: readonly FoundQueue[], now: number): boolean {
    const isNew = found.some((queue) => this.isNews(queue, now));
    this.found = new Map(found.map((queue) => [idOf(queue), queue]));
    this.byHandler = byHandler(found);
    this.lookedAt = now;
    const parts = new Set(found.map(partOf));
    for (const part of this.servedParts.keys()) if (!parts.has(part)) this.servedParts.delete(part);
    return isNew;
  }

  /** Whether claims do not read a queue that was found, or not from its first delivery on. */
  private isNews(queue: FoundQueue, now: number): boolean {
    const known = this.found.get(idOf(queue));
    const { from, fromId } = this.beginOf(queue);
    if (!known || queue.since < from || (queue.since === from && queue.sinceId < fromId)) return true;
    return known.since > this.lookedAt && queue.since <= now;
  }

  /** Counts a claim of deliveries. Others of the same priority come before them at the next claim: other handlers, and other partitions. */
  serve(claimed: readonly Pick<Delivery, 'handler' | 'partition'>[]): void {
    this.claims++;
    for (const delivery of claimed) {
      this.served.set(delivery.handler, this.claims);
      this.servedParts.set(partOf(delivery), this.claims);
    }
  }

  /** Leaves a queue out for so many milliseconds, because a limit of its handler is reached. */
  wait(queue: HandlerQueue, suspect: boolean, milliseconds: number): void {
    const until = performance.now() + milliseconds;
    this.waits.set(idOf({ ...queue, suspect }), { handler: queue.owner.name, until });
  }

  /** Leaves out all queues of a handler for so many milliseconds. */
  leaveOut(handler: string, milliseconds: number): void {
    this.left.set(handler, performance.now() + milliseconds);
  }

  /** When the first of the queues that are left out may be claimed from, by `performance.now()`; undefined if there is none. */
  nextWait(): number | undefined {
    const now = performance.now();
    let next: number | undefined;
    for (const [id, { until }] of this.waits)
      if (until <= now) this.waits.delete(id);
      else next = Math.min(next ?? Infinity, until);
    return next;
  }

  /** Lets the queues of a handler be claimed from again. */
  resume(handler: string): void {
    for (const [id, wait] of this.waits) if (wait.handler === handler) this.waits.delete(id);
  }

  /** The queues of suspects. */
  ofSuspects(rooms: readonly HandlerRoom[]): HandlerQueue[] {
    return this.open(rooms, true);
  }

  /** The queues of all other deliveries: the most urgent first, among equals those first that were not claimed from for longest. */
  ofOthers(rooms: readonly HandlerRoom[]): HandlerQueue[] {
    this.leavesOut = false;
    return this.open(rooms, false);
  }

  /** Whether a claim may have left something, though it has not reached its limit: a partition has given its whole share of the room. */
  hasSpent(queues: readonly HandlerQueue[], claimed: readonly Pick<Delivery, 'handler' | 'partition'>[]): boolean {
    const counts = new Map<string, number>();
    for (const delivery of claimed) counts.set(partOf(delivery), (counts.get(partOf(delivery)) ?? 0) + 1);
    return queues.some((queue) => queue.most < queue.room && (counts.get(partOf(queue)) ?? 0) >= queue.most);
  }

  private open(rooms: readonly HandlerRoom[], suspect: boolean): HandlerQueue[] {
    const turn = ({ handler }: HandlerRoom) => Math.max(...namesOf(handler).map((name) => this.served.get(name) ?? 0));
    return rooms
      .toSorted((a, b) => turn(a) - turn(b))
      .flatMap((room, of) => this.queuesOf(room, of, suspect))
      .sort((a, b) => a.priority - b.priority);
  }

  /** The queues of a handler. Those of different partitions share its room evenly. */
  private queuesOf({ handler: owner, room }: HandlerRoom, of: number, suspect: boolean): HandlerQueue[] {
    const { transactional: connects = false } = owner.options;
    if ((this.left.get(owner.name) ?? 0) > performance.now()) return [];
    const turnOf = (queue: Queue) => this.servedParts.get(partOf(queue)) ?? 0;
    const open = this.candidates(owner, suspect)
      .filter((queue) => !this.isWaiting({ ...queue, suspect }))
      .toSorted((a, b) => turnOf(a) - turnOf(b));
    this.leavesOut ||= open.length > PARTITIONS;
    const queues = open.slice(0, PARTITIONS);
    return queues.map(({ handler, priority, partition }) => {
      const sharing =
        owner.partitionBy === undefined ? 1 : queues.filter((other) => other.priority === priority).length;
      const begin = this.beginOf({ handler, priority, partition, suspect });
      return { handler, priority, partition, ...begin, of, room, most: Math.ceil(room / sharing), connects, owner };
    });
  }

  /** The queues that a handler may have. */
  private candidates(owner: Handler, suspect: boolean): readonly Queue[] {
    const names = namesOf(owner);
    // Those that were not due at the last look are found by the look at which they are.
    const isAsked = (owner.limits ?? owner.partitionBy) !== undefined;
    const isDue = ({ since }: FoundQueue) => !isAsked || since <= this.lookedAt;
    const found = names
      .flatMap((name) => this.byHandler.get(name) ?? [])
      .filter((queue) => queue.suspect === suspect && isDue(queue));
    // Most deliveries that are opened now are in a queue of the handler's own priority, so it is claimed from without asking whether it
    // exists. A handler with limits is asked for, because its claims cost more.
    const { priority = 0 } = owner.options;
    if (suspect || owner.limits) return found;
    const own = names.map((handler) => ({ handler, priority, partition: '' }));
    const known = new Set(own.map(({ handler }) => handler));
    return [
      ...own,
      ...found.filter((queue) => queue.partition !== '' || queue.priority !== priority || !known.has(queue.handler)),
    ];
  }

  private isWaiting(queue: Named): boolean {
    const wait = this.waits.get(idOf(queue));
    if (!wait) return false;
    if (wait.until > performance.now()) return true;
    this.waits.delete(idOf(queue));
    return false;
  }

  /** Where claims begin to read a queue. */
  private beginOf(queue: Named): Pick<OpenQueue, 'from' | 'fromId'> {
    const late = Math.max(0, this.lookedAt - MARGIN);
    const { since, sinceId } = this.found.get(idOf(queue)) ?? { since: Infinity, sinceId: 0 };
    return since < late ? { from: since, fromId: sinceId } : { from: late, fromId: 0 };
  }
}

function byHandler(found: readonly FoundQueue[]): Map<string, FoundQueue[]> {
  const queues = new Map<string, FoundQueue[]>();
  for (const queue of found) {
    const own = queues.get(queue.handler);
    if (own) own.push(queue);
    else queues.set(queue.handler, [queue]);
  }
  return queues;
}

const idOf = ({ priority, suspect, ...queue }: Named): string => `${priority} ${suspect} ${partOf(queue)}`;

/** The id of a partition of a handler. */
const partOf = ({ handler, partition }: Pick<Queue, 'handler' | 'partition'>): string => `${handler}\0${partition}`;
