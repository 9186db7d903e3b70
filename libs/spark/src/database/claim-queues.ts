/**
 * The available deliveries of one handler, with one priority, in one partition. They are claimed in the order of their due time. A backlog
 * of one queue does not slow the claims of others.
 */
export interface Queue {
  /** The name of the handler in the rows. */
  readonly handler: string;
  readonly priority: number;
  /** The value of the field by which the handler's deliveries are partitioned; '' for those that are not. */
  readonly partition: string;
}

/** A queue that has available deliveries, due or not. */
export interface FoundQueue extends Queue {
  /** Whether they are deliveries whose process died. */
  readonly suspect: boolean;
  /** When the first of them is due, in epoch ms. */
  readonly since: number;
  /** The id of that delivery, or the lowest one of several that are due at that time. */
  readonly sinceId: number;
}

/** A row of a queue, as a look reads it. */
export interface QueueRow {
  readonly handler: string;
  readonly priority: number;
  readonly suspect: number;
  readonly partition_key: string;
  readonly due_at: number;
  readonly id: number | string;
}

/** Reads the row of a queue. */
export const queueFrom = ({
  handler,
  priority,
  partition_key: partition,
  suspect,
  due_at: since,
  id,
}: QueueRow): FoundQueue => ({
  handler,
  priority: Number(priority),
  partition,
  suspect: Number(suspect) === 1,
  since: Number(since),
  sinceId: Number(id),
});

/** A queue to claim from. */
export interface OpenQueue extends Queue {
  /** The handler, as a number. Queues of a former name of a handler have the same number. */
  readonly of: number;
  /** How many deliveries of this handler may be claimed, over all its queues. */
  readonly room: number;
  /**
   * Deliveries that were due before this instant, in epoch ms, are not claimed: the last look found none. Without it, a claim would read
   * what is left of all deliveries that were claimed before, in a database that has not yet removed that.
   */
  readonly from: number;
  /** The same for deliveries that were due at that instant, and have a lower id: all of a campaign may be due at the same time. */
  readonly fromId: number;
  /** How many deliveries of this queue are claimed at most. Default: its room. */
  readonly most?: number;
  /** Whether each of its deliveries takes one of the free connections. */
  readonly connects: boolean;
}

/** The limits of a claim. */
export interface ClaimLimits {
  /** How many deliveries may be claimed in all. */
  readonly limit: number;
  /** How many deliveries of queues that connect may be claimed. */
  readonly connections: number;
}

type Roomy = Pick<OpenQueue, 'of' | 'room' | 'most' | 'connects'>;

/** Counts how many deliveries a claim may still take from each queue, for databases where it takes a statement for each. */
export class ClaimRoom {
  private readonly taken = new Map<number, number>();
  private left: number;
  private connections: number;

  constructor({ limit, connections }: ClaimLimits) {
    this.left = limit;
    this.connections = connections;
  }

  /** How many deliveries may be claimed from a queue. */
  in({ of, room, most = room, connects }: Roomy): number {
    const left = Math.min(this.left, most, room - (this.taken.get(of) ?? 0));
    return connects ? Math.min(left, this.connections) : left;
  }

  /** Counts deliveries that were claimed from a queue. */
  take({ of, connects }: Roomy, count: number): void {
    this.left -= count;
    if (connects) this.connections -= count;
    this.taken.set(of, (this.taken.get(of) ?? 0) + count);
  }

  /** Whether the limit is reached, so that there may be more. */
  get isFull(): boolean {
    return this.left <= 0;
  }
}
