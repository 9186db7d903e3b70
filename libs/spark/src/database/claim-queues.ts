/**
 * The available deliveries of one handler with one priority. They are claimed in the order of their due time. A backlog of one queue does
 * not slow the claims of others.
 */
export interface Queue {
  /** The name of the handler in the rows. */
  readonly handler: string;
  readonly priority: number;
}

/** A queue to claim from. */
export interface OpenQueue extends Queue {
  /** The handler, as a number. Queues of a former name of a handler have the same number. */
  readonly of: number;
  /** How many deliveries of this handler may be claimed, over all its queues. */
  readonly room: number;
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
  in({ of, room, most = room, connects }: OpenQueue): number {
    const left = Math.min(this.left, most, room - (this.taken.get(of) ?? 0));
    return connects ? Math.min(left, this.connections) : left;
  }

  /** Counts deliveries that were claimed from a queue. */
  take({ of, connects }: OpenQueue, count: number): void {
    this.left -= count;
    if (connects) this.connections -= count;
    this.taken.set(of, (this.taken.get(of) ?? 0) + count);
  }

  /** Whether the limit is reached, so that there may be more. */
  get isFull(): boolean {
    return this.left <= 0;
  }
}
