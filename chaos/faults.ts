/** Where in the path of the data a process can be struck. */
export const POINTS = [
  'before-enter',
  'after-enter',
  'after-commit',
  'in-recheck',
  'in-sweep',
  'after-claim',
  'in-handler',
  'in-transactional-handler',
  'before-completion',
  'after-completion',
] as const;

/**
 * The servers that a round can have beside its database, by the names that `--with` takes: what happens to each, in how many fates it does
 * once, and where a process can be struck besides.
 */
export const COMPANIONS = {
  /** Deliveries are brought by a carrier, and processes have roles for it. */
  bullmq: { server: 'Redis', faults: ['crash', 'flush', 'stall'], every: 4, points: ['before-send', 'after-send'] },
  /** Events are sent by a relay. A crash takes this server many times as long as Redis. */
  rabbitmq: { server: 'RabbitMQ', faults: ['crash', 'stall'], every: 8, points: ['before-publish', 'after-confirm'] },
} as const;

export type CompanionName = keyof typeof COMPANIONS;

export type CompanionFault = (typeof COMPANIONS)[CompanionName]['faults'][number];

export type Point = (typeof POINTS)[number] | (typeof COMPANIONS)[CompanionName]['points'][number];

/** Where processes of a round can be struck. */
export const pointsOf = (companion: CompanionName | undefined): readonly Point[] => [
  ...POINTS,
  ...(companion ? COMPANIONS[companion].points : []),
];

/** What a process does for the carrier. */
export type CarrierRole = 'dispatch' | 'work';

export const BOTH_ROLES: readonly CarrierRole[] = ['dispatch', 'work'];

/** Where a process that is stalled there holds work that others will take over. */
export const STALL_POINTS = ['after-claim', 'in-handler', 'in-transactional-handler', 'before-completion'] as const;

/** Where a process whose connections go silent has sent something, or is about to. */
export const SILENCE_POINTS = [
  'before-enter',
  'after-enter',
  'in-recheck',
  'after-claim',
  'in-transactional-handler',
  'before-completion',
] as const;

/** How a silence ends: what was sent arrives late, the connections break, or they stay silent and new ones answer. */
export const ENDS = ['goes on', 'breaks', 'never'] as const;

/** A time in which a process sends nothing to the database and receives nothing from it, while its connections stay open. */
export interface Silence {
  readonly ends: (typeof ENDS)[number];
  /** How long it is, in ms; where it never ends, until the process is expected at work again. */
  readonly length: number;
  /** Whether new connections are silent, too. */
  readonly newOnes: boolean;
}

/** The versions of the application that live side by side: the former one, and the next one. */
export const VERSIONS = ['former', 'next'] as const;

export type Version = (typeof VERSIONS)[number];

/** What happens to one process. */
export interface Fate {
  /** Of which version it is. */
  readonly version: Version;
  /** Where it is struck, at the nth time that it comes by; left out: at any time. */
  readonly point?: Point;
  readonly nth: number;
  /** Killed there, or stalled there past its lease, or cut off from the database without a word, and killed later. */
  readonly kind: 'kill' | 'stall' | 'silence';
  readonly silence?: Silence;
  /** When it is struck at any time: how long after it is ready, in ms. After a stall: how long until it is killed. */
  readonly after: number;
  /** Whether a connection of it is cut meanwhile. */
  readonly cut: boolean;
  /** Whether it emits an event that kills whoever handles it. */
  readonly poison: boolean;
  /** Whether the database crashes, and comes back, while it is at work. */
  readonly restart: boolean;
  /** What it does for the carrier, if there is one. */
  readonly roles: readonly CarrierRole[];
  /** What happens to the companion meanwhile. */
  readonly companion?: CompanionFault;
}

/** What a process that is struck, or that notices something, records: a line of JSON in the round's log. */
export interface JournalEntry {
  readonly life: number;
  readonly at: number;
  readonly kind:
    Fate['kind'] | 'poison' | 'lease-lost' | 'rescued' | 'fenced' | 'rated' | 'shared' | 'shared-end' | 'error';
  readonly point?: Point;
  readonly count?: number;
  /** The event of a call. */
  readonly key?: string;
  /** The first line of an error that was logged. */
  readonly text?: string;
}

/** A guard that can be taken away, to see that its absence is noticed. */
export const BREAKS = ['fence', 'lease', 'transaction', 'deadline', 'others', 'limits', 'start', 'confirms'] as const;

export type Break = (typeof BREAKS)[number];

/** The input of an actor. */
export interface ActorInput {
  readonly life: number;
  readonly version: Version;
  readonly seed: number;
  readonly folder: string;
  readonly database: object;
  readonly isSqlite: boolean;
  readonly fate?: Fate;
  readonly broken?: Break;
  /** The server beside the database. */
  readonly companion?: { readonly name: CompanionName; readonly url: string };
  /** What this process does for the carrier, if there is one. */
  readonly roles: readonly CarrierRole[];
  /** Handles what is left, and writes nothing. */
  readonly finishes: boolean;
}

/** The limits over all processes. The time of the rate is in ms. */
export const LIMITS = { rate: { max: 10, per: 1_000 }, concurrency: 2 };

/** How leases run in a round, in ms. */
export const LEASE = { ttl: 3_000, renewal: 500 };

/** How long a delivery may be on its way by the carrier, in ms. */
export const TTL = 4_000;

/** The queue that gets what the relay sends, and the groups that it sends, which both versions know. */
export const RELAY = { name: 'relay', queue: 'chaos', groups: /^(item|family|outside)/ };

/** What the relay sends of an event: which process has sent it, and when, in epoch ms. */
export interface Relayed {
  readonly life: number;
  readonly at: number;
}

/** How long a statement of the library may wait for its answer, in ms: shorter than some silences, longer than others. */
export const DEADLINE = 5_000;
