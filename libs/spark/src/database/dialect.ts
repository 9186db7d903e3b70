import type { DataSource, EntityManager, EntityMetadata, ObjectLiteral } from 'typeorm';
import type { Entry } from './event-columns.js';
import type { InitialState } from './delivery-states.js';
import type { ClaimLimits, FoundQueue, OpenQueue } from './claim-queues.js';
import type { DiscardedRequest } from './latest-discarded.js';

/** The group and entity of a known key. */
export type Owner = Pick<Entry, 'group' | 'entity' | 'entityId'>;

/** A range in the index of keys, with keys of one group. */
export interface KeyRange {
  readonly group: string;
  /** The entity that all of the events derive from. */
  readonly entity: string | null;
  readonly first: string;
  readonly last: string;
  /** How many keys are read at most: keys of other events may lie between them. */
  readonly most: number;
}

/** Known keys of a range, each followed by the id of its entity: '' if there is none. */
export type KeysInRange = readonly string[];

/** A statement that reads rows of the application by a key of one column. */
export interface RowsByKey {
  /** The column in SQL. */
  readonly column: string;
  /** Makes the statement with a condition. */
  readonly sql: (condition: string) => string;
}

/** What is known of the versions of a table's rows. */
export interface TableVersions {
  /** The boundary of a sweep that begins now: a text of at most 64 characters. Undefined if the database cannot tell for this table. */
  readonly boundary?: string;
  /** Why the database cannot tell. */
  readonly obstacle?: string;
  /** Whether the rows that have changed since the given boundary can be told. */
  readonly isUsable?: boolean;
  /** Why not. */
  readonly outdated?: string;
}

/** Tells which rows of a table have changed since a boundary. */
export interface RowVersions {
  /** Looks at a table in the transaction that begins a sweep. */
  look(manager: EntityManager, metadata: EntityMetadata, boundary: string | undefined): Promise<TableVersions>;
  /** The condition that a row has changed since a boundary. `column` makes SQL for a column of the table. */
  changedSince(column: (name: string) => string, boundary: string): { sql: string; parameters: ObjectLiteral };
}

/** A handler for which a delivery is opened. */
export interface Recipient {
  readonly name: string;
  /** Deliveries with a lower number are claimed first. */
  readonly priority: number;
  /** The field of the events' metadata by which its deliveries are partitioned; undefined if they are not. */
  readonly partitionBy?: string | undefined;
}

/** A handler, the groups of its events, and the state in which its deliveries are opened. */
export interface Opened extends Recipient {
  readonly groups: readonly string[];
  /** The keys of its events; undefined for all of the groups. */
  readonly keys?: ReadonlySet<string> | undefined;
  readonly initialState: InitialState;
}

/** Whether a handler gets a delivery of an event. */
export const isOpenedFor = ({ groups, keys }: Opened, { key, group }: Pick<Entry, 'key' | 'group'>): boolean =>
  groups.includes(group) && (keys === undefined || keys.has(key));

/** The events to enter and the deliveries to open. */
export interface EnterRequest {
  /** Sorted by key, each key once. */
  readonly entries: readonly Entry[];
  readonly opened: readonly Opened[];
  readonly now: number;
  /** Whether most keys are probably new. Then the dialect inserts at once, and reads known keys afterwards. */
  readonly likelyNew: boolean;
}

/** The result of entering events. */
export interface Entered {
  /** The keys that were new. */
  readonly fresh: ReadonlySet<string>;
  /** Keys that another group or entity already has, with that owner. */
  readonly others: ReadonlyMap<string, Owner>;
  /** The revision of the handler registry at that time. */
  readonly revision: number;
}

/** Which deliveries to claim. */
export interface ClaimRequest<Q extends OpenQueue = OpenQueue> extends ClaimLimits {
  readonly worker: string;
  /** The queues to claim from, in the order in which they are claimed from. */
  readonly queues: readonly Q[];
  readonly now: number;
  /** Whether to claim deliveries whose process died, instead of all others. */
  readonly suspect: boolean;
  /** The ids of deliveries that are not claimed. */
  readonly passed: readonly string[];
  /** Whether the claim survives a crash of the server. One that does not is undone by it, and costs less. */
  readonly durable: boolean;
}

/** The result of a claim. */
export interface Claimed {
  /** In the order of the queues, and of their due time. */
  readonly rows: readonly ClaimedRow[];
  /** Whether the claim has reached its limit, so that more may be available. */
  readonly isMore: boolean;
}

/** The row of a claimed delivery, with its event. */
export interface ClaimedRow {
  readonly id: string;
  readonly event_id: string;
  readonly handler: string;
  readonly partition_key: string;
  readonly attempt: number;
  readonly due_at: string | number;
  readonly recorded_at: string | number;
  readonly event: Entry;
}

/** A delivery that was dispatched. */
export interface DispatchedRow {
  readonly id: string;
  /** The name of the handler in the row. */
  readonly handler: string;
  readonly partition_key: string;
  readonly priority: number;
}

/** The result of a dispatch. */
export interface Dispatched {
  readonly rows: readonly DispatchedRow[];
  /** Whether the dispatch has reached its limit, so that more may be available. */
  readonly isMore: boolean;
}

/** Which deliveries to take over. */
export interface TakeOver {
  readonly worker: string;
  readonly now: number;
  /** How long they may be on their way, in milliseconds. They count as due since they were sent. */
  readonly ttl: number;
  readonly ids: readonly string[];
}

/** Deliveries that a worker has handled, all in the same attempt. */
export interface Completion {
  readonly worker: string;
  readonly attempt: number;
  readonly done: readonly { readonly id: string; readonly durationMs: number }[];
  readonly now: number;
  /** Whether completed deliveries are kept. */
  readonly history: boolean;
}

/** Everything in which the databases differ. All other SQL is written once, in the file that needs it. */
export interface Dialect {
  /** How many characters of a primary key the tables keep. */
  readonly longestKey: number;
  /**
   * Whether the table of rechecks is in the order of time, without an index by entity. On SQLite, the removal of a recheck rewrites a
   * page of each index, and these pages are most of the cost of a tick.
   */
  readonly rechecksByTime: boolean;
  /** Whether a read without a lock may return a row as it was when the transaction began. */
  readonly readsMayBeStale: boolean;
  /** Whether a statement can skip rows that another transaction has locked. A database without it has only one writer at a time. */
  readonly skipsLocked: boolean;
  /**
   * Whether a locking read that finds fewer rows than its limit may lock the row behind the last one, too. Other claims would skip that
   * row, though it is not claimed.
   */
  readonly locksNext: boolean;
  /** Whether an UPDATE can return its rows, and one statement can also insert by them. */
  readonly returnsFromUpdate: boolean;
  /** Whether an INSERT can return its rows. */
  returnsFromInsert(dataSource: DataSource): boolean;
  /** SQL that makes an INSERT … SELECT lock the rows that it reads. */
  readonly forUpdate: string;
  /** What follows a table so that a statement reads only the rows whose keys it names: by another way it could wait for other rows. */
  readonly byKey: string;
  /**
   * SQL that joins a table to what stands before it in FROM, by its id. The database looks up the row of each by its key, whatever other
   * conditions there are on them.
   */
  lookedUp(table: string, alias: string, id: string): string;
  /** The isolation of Spark's own transactions. */
  readonly isolation: 'READ COMMITTED' | undefined;
  /** The statement that makes a transaction read only: sent before it begins, or as its first statement. SQLite has none. */
  readonly readOnly: { readonly before?: string; readonly within?: string };
  /** Whether an error means that the transaction can be run again. */
  isTransient(error: unknown): boolean;
  /** The order of held deliveries in an index, as SQL after ORDER BY, so that a statement with a LIMIT reads only so many. */
  readonly heldOrder: string;
  /** SQL for the database's clock in epoch ms. Leases use this clock, because clocks of processes may differ. */
  readonly clock: string;
  /** How many rows the table of an entity has, by the statistics of the database; undefined if they do not say. */
  estimatedRows(manager: EntityManager, metadata: EntityMetadata): Promise<number | undefined>;
  /** Tells which rows have changed; undefined if the database keeps no versions of rows. */
  readonly rowVersions: RowVersions | undefined;
  /** A statement that inserts rows unless they exist; given `INTO table (columns) VALUES …`. */
  insertOrIgnore(rows: string): string;
  /**
   * Runs work under a lock, so that no other process does such work on these tables at the same time. The work gets the given manager,
   * which must have a query runner of its own. Throws BootLockError.
   */
  exclusively<T>(manager: EntityManager, work: (manager: EntityManager) => Promise<T>): Promise<T>;
  /**
   * Runs a write of a table while no other transaction reads it: those that have read it have ended, and later ones read what
   * was written. Where the table cannot be locked soon, as by a backup that reads it or a role that may not, the write runs all
   * the same. The manager has a query runner of its own.
   */
  whileUnread<T>(manager: EntityManager, table: string, write: (manager: EntityManager) => Promise<T>): Promise<T>;
  /** Rows of the application as the transaction will commit them. `isNew` means that the transaction has inserted all of them. */
  rowsByKey(
    manager: EntityManager,
    rows: RowsByKey,
    keys: readonly (string | number | bigint)[],
    isNew: boolean,
  ): Promise<object[]>;
  /** The known keys of each range, at most `most` of them. */
  keysInRanges(manager: EntityManager, ranges: readonly KeyRange[]): Promise<readonly KeysInRange[]>;
  /** The owners of those keys that are known. */
  ownersOf(manager: EntityManager, keys: readonly string[]): Promise<Map<string, Owner>>;
  /** Enters events and opens their deliveries. Known keys cost no write. */
  enter(manager: EntityManager, request: EnterRequest): Promise<Entered>;
  /** Whether a claim, a dispatch, a take-over and a completion are one statement each, which needs no transaction around it. */
  readonly worksByStatement: boolean;
  /** The queues of these handlers that have available deliveries. It costs a lookup for each queue, however long they are. */
  queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]>;
  /** The handlers that have available deliveries. It costs a lookup for each handler, however many deliveries these are. */
  handlersAwaited(manager: EntityManager): Promise<string[]>;
  /**
   * Counts by handler the deliveries that were discarded at an instant or later. It reads about `most` of the latest discarded ones, however
   * many these are, so there may be more.
   */
  discardedSince(manager: EntityManager, request: DiscardedRequest): Promise<Map<string, number>>;
  /**
   * Those queues of a request that have a delivery to claim. A database where a claim is one statement returns all. Elsewhere it is read
   * before the transaction, which is begun only if there is something to claim.
   */
  waiting<Q extends OpenQueue>(manager: EntityManager, request: ClaimRequest<Q>): Promise<readonly Q[]>;
  /**
   * Claims available deliveries for a worker: queue by queue, the longest due of each first. It claims nothing of a paused handler. The
   * database may plan it by the size that the table had at the last call of `queuesOf`.
   */
  claim(manager: EntityManager, request: ClaimRequest): Promise<Claimed>;
  /** Like a claim, but the deliveries stay available: they are on their way, and due again at the instant `due` if they get lost. */
  dispatch(manager: EntityManager, request: ClaimRequest, due: number): Promise<Dispatched>;
  /** Claims those of some deliveries that are on their way. It claims nothing of a paused handler, and skips locked deliveries. */
  takeOver(manager: EntityManager, request: TakeOver): Promise<readonly ClaimedRow[]>;
  /** Completes those deliveries that the worker still has, and returns their ids. */
  complete(manager: EntityManager, completion: Completion): Promise<Set<string>>;
}
