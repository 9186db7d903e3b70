import type { DataSource, EntityManager } from 'typeorm';
import type { InitialState } from './initial-state.js';

/** An event as the ledger enters it. */
export interface Entry {
  readonly key: string;
  readonly group: string;
  /** The entity that it came from, null for an emitted one. */
  readonly entity: string | null;
  readonly entityId: string | null;
  readonly source: string | null;
  readonly context: string | null;
  /** When it became true, epoch ms; null when its source did not say. */
  readonly at: number | null;
  /** From when on it is of no use, epoch ms. */
  readonly until: number | null;
  /** How many events led to this one: 0 when no handler was at work. */
  readonly depth: number;
}

/** Whose event a known key is. */
export type Owner = Pick<Entry, 'group' | 'entity' | 'entityId'>;

/** Where keys of a group lie in the index of all keys. */
export interface KeyRange {
  readonly group: string;
  /** What all of the events came from. */
  readonly entity: string | null;
  readonly first: string;
  readonly last: string;
  /** How many are read of it: the keys of others may lie between them. */
  readonly most: number;
}

/** Known keys of a range, each with the id of its entity behind it: '' where there is none. */
export type KeysInRange = readonly string[];

/** A statement that reads rows of the application's by a key of one column. */
export interface RowsByKey {
  /** The column in SQL. */
  readonly column: string;
  /** The statement with a condition in it. */
  readonly sql: (condition: string) => string;
}

/** Whom a delivery is opened for. */
export interface Recipient {
  readonly name: string;
  /** The lower, the sooner. */
  readonly priority: number;
}

/** A handler, with the groups whose events are delivered to it. */
export interface Opened extends Recipient {
  readonly groups: readonly string[];
  readonly initialState: InitialState;
}

/** What is asked of entering. */
export interface EnterRequest {
  /** Sorted by key, each key once. */
  readonly entries: readonly Entry[];
  readonly opened: readonly Opened[];
  readonly now: number;
  /** Whether it is worth to insert at once, and to ask for what is known afterwards. */
  readonly likelyNew: boolean;
}

/** What came of entering. */
export interface Entered {
  /** The keys that were new. */
  readonly fresh: ReadonlySet<string>;
  /** Keys that are known as those of another group or entity, and whose they are. */
  readonly others: ReadonlyMap<string, Owner>;
  /** The revision of the handler registry at that time. */
  readonly revision: number;
}

/** What is asked of a claim. */
export interface ClaimRequest {
  readonly worker: string;
  readonly handlers: readonly string[];
  readonly limit: number;
  readonly now: number;
  /** Whether to claim deliveries whose process died, instead of all others. */
  readonly suspect: boolean;
  /** The ids of deliveries that are not claimed. */
  readonly passed: readonly string[];
}

/** A claimed delivery with its event, as their rows say. */
export interface ClaimedRow {
  readonly id: string;
  readonly handler: string;
  readonly attempt: number;
  readonly event_key: string;
  readonly event_group: string;
  readonly entity_id: string | null;
  readonly source: string | null;
  readonly context: string | null;
  readonly at: string | null;
  readonly until_at: string | null;
  readonly depth: number;
}

/** Deliveries that a worker has handled, all at the same attempt. */
export interface Completion {
  readonly worker: string;
  readonly attempt: number;
  readonly done: readonly { readonly id: string; readonly durationMs: number }[];
  readonly now: number;
  /** Whether they are kept. */
  readonly history: boolean;
}

/** Where the databases differ. Everything else is written once, in the file that it belongs to. */
export interface Dialect {
  /** How many characters of a primary key the tables keep. */
  readonly longestKey: number;
  /**
   * Whether the rechecks lie in the order of time, without an index by entity. Where a recheck's removal rewrites each page
   * that knows of it, those pages are most of what a tick costs.
   */
  readonly rechecksByTime: boolean;
  /** Whether a transaction that has not locked a row anew may read it as it was when the transaction began. */
  readonly readsMayBeStale: boolean;
  /** Whether rows that another transaction holds can be passed over; without it, nobody else writes meanwhile. */
  readonly skipsLocked: boolean;
  /** Whether an UPDATE can tell the rows that it changed, and a statement can insert by them. */
  readonly returnsFromUpdate: boolean;
  /** Whether an INSERT can tell the rows that it inserted. */
  returnsFromInsert(dataSource: DataSource): boolean;
  /** What makes an INSERT … SELECT hold the rows that it read. */
  readonly forUpdate: string;
  /** The isolation of Spark's own transactions. */
  readonly isolation: 'READ COMMITTED' | undefined;
  /** What makes a transaction read only: said before it begins, or as its first statement. SQLite has nothing of the kind. */
  readonly readOnly: { readonly before?: string; readonly within?: string };
  /** Whether the error says: run the transaction once more. */
  isTransient(error: unknown): boolean;
  /** SQL for the database's clock in epoch ms: leases go by one clock, whatever the processes think. */
  readonly clock: string;
  /** A statement that inserts rows unless they are there; given `INTO table (columns) VALUES …`. */
  insertOrIgnore(rows: string): string;
  /** SQL for a list of rows to compare row values with: `(a, b) IN …`. */
  rowList(rows: string): string;
  /**
   * Runs work, with the manager that it is given, that no other process does at the same time on these tables. The manager has a
   * query runner of its own. Throws BootLockError.
   */
  exclusively<T>(manager: EntityManager, work: (manager: EntityManager) => Promise<T>): Promise<T>;
  /**
   * Runs a write of a table while no other transaction reads it: those that have read it have ended, and later ones read what
   * was written. Where the table cannot be locked soon, as by a backup that reads it or a role that may not, the write runs all
   * the same. The manager has a query runner of its own.
   */
  whileUnread<T>(manager: EntityManager, table: string, write: (manager: EntityManager) => Promise<T>): Promise<T>;
  /** Rows of the application's as the transaction will commit them. `isNew` says that it has inserted all of them. */
  rowsByKey(
    manager: EntityManager,
    rows: RowsByKey,
    keys: readonly (string | number | bigint)[],
    isNew: boolean,
  ): Promise<object[]>;
  /** The known keys of each range, as far as they can be read side by side. */
  keysInRanges(manager: EntityManager, ranges: readonly KeyRange[]): Promise<readonly KeysInRange[]>;
  /** Whose the keys are that are known. */
  ownersOf(manager: EntityManager, keys: readonly string[]): Promise<Map<string, Owner>>;
  /** Enters events and opens their deliveries. Known keys cost no write. */
  enter(manager: EntityManager, request: EnterRequest): Promise<Entered>;
  /** Whether claiming and completing take one statement each, which needs no transaction round it. */
  readonly worksByStatement: boolean;
  /** Claims available deliveries for a worker, the most urgent and longest due first. */
  claim(manager: EntityManager, request: ClaimRequest): Promise<ClaimedRow[]>;
  /** Completes deliveries as far as they are the worker's still, and returns the ids of those. */
  complete(manager: EntityManager, completion: Completion): Promise<Set<string>>;
}
