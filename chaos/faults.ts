/** Where in the path of the data a process can be struck. */
export const POINTS = [
  'before-enter',
  'after-enter',
  'after-commit',
  'in-look',
  'in-sweep',
  'after-claim',
  'in-handler',
  'in-transactional-handler',
  'before-completion',
  'after-completion',
] as const;

export type Point = (typeof POINTS)[number];

/** Where a process that is stalled there holds work that others will take over. */
export const STALL_POINTS = ['after-claim', 'in-handler', 'in-transactional-handler', 'before-completion'] as const;

/** What happens to one process. */
export interface Fate {
  /** Where it is struck, at the nth time that it comes by; left out: at any time. */
  readonly point?: Point;
  readonly nth: number;
  /** Killed there, or stalled there past its lease and killed later. */
  readonly kind: 'kill' | 'stall';
  /** When it is struck at any time: how long after it is ready, in ms. After a stall: how long until it is killed. */
  readonly after: number;
  /** Whether a connection of it is cut meanwhile. */
  readonly cut: boolean;
  /** Whether it emits an event that kills whoever handles it. */
  readonly poison: boolean;
  /** Whether the database crashes, and comes back, while it is at work. */
  readonly restart: boolean;
}

/** What a process that is struck, or that notices something, writes down: a line of JSON in the round's log. */
export interface Note {
  readonly life: number;
  readonly at: number;
  readonly kind: 'kill' | 'stall' | 'poison' | 'lease-lost' | 'rescued' | 'fenced';
  readonly point?: Point;
  readonly count?: number;
}

/** A guard that can be taken away, to see that its absence is noticed. */
export type Break = 'fence' | 'lease' | 'transaction';

/** What an actor is told. */
export interface ActorInput {
  readonly life: number;
  readonly seed: number;
  readonly folder: string;
  readonly database: object;
  readonly isSqlite: boolean;
  readonly fate?: Fate;
  readonly broken?: Break;
  /** Handles what is left, and writes nothing. */
  readonly finishes: boolean;
}

/** How leases run in a round, in ms. */
export const LEASE = { ttl: 3_000, renewal: 500 };
