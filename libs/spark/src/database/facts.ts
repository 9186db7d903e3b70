import type { QueryRunner } from 'typeorm';

/** An index of one of Spark's tables that the database has and does not use. */
export interface UnusedIndex {
  readonly table: string;
  readonly index: string;
  /** The statement after which it is used, or can be created again. */
  readonly repair: string;
}

/** The isolation of transactions for which nobody names one. */
export interface IsolationFacts {
  /** As SQL names it: `READ COMMITTED`. */
  readonly level: string;
  /** Whether reads see rows that may be rolled back. */
  readonly seesUncommitted: boolean;
  /** Whether transactions fail, or wait, where they would not at the usual level of this database. */
  readonly collides: boolean;
  /** Whether the server refuses writes of READ COMMITTED transactions. */
  readonly refusesReadCommitted: boolean;
}

/** A column of Spark's tables whose texts are stored or compared in another way than Spark needs. */
export interface WrongColumn {
  readonly table: string;
  readonly column: string;
  /** As it is: `latin1_swedish_ci`. */
  readonly collation: string;
  /** As it must be. */
  readonly needed: string;
}

/** The character sets of texts on their way, and in Spark's tables. */
export interface CharsetFacts {
  /** The character sets of the connection that cannot carry all texts, such as `latin1`. */
  readonly connection: readonly string[];
  readonly columns: readonly WrongColumn[];
}

/** How autovacuum keeps up with one table. */
export interface VacuumedTable {
  readonly table: string;
  /** Whether it is off for this table. */
  readonly isOff: boolean;
  readonly deadRows: number;
  /** The number of dead rows at which autovacuum begins. */
  readonly beginsAt: number;
  /** How long ago the last vacuum ended, in milliseconds; undefined if there was none. */
  readonly lastEnded: number | undefined;
}

/** Autovacuum, of the server and of Spark's tables. */
export interface VacuumFacts {
  readonly isOn: boolean;
  readonly tables: readonly VacuumedTable[];
}

/** How the connection to a database in a file writes, and waits for other processes. */
export interface JournalFacts {
  /** `wal`, or another mode of the journal. */
  readonly mode: string;
  /** How long a statement waits while another process writes, in milliseconds. */
  readonly busyTimeout: number;
}

/** A transaction that may keep others waiting. */
export interface OpenTransaction {
  /** The connection's number on the server. */
  readonly connection: string;
  /** For how long it has been open, in milliseconds. */
  readonly age: number;
  /** Spark's tables that it has locked; empty where the database does not tell. */
  readonly tables: readonly string[];
}

/**
 * What a database says of itself, as far as Spark depends on it. A database without one of these has no such method. Each costs one short
 * read, whatever the size of the tables, and works on tables that are missing or old.
 */
export interface DatabaseFacts {
  unusedIndexes?(runner: QueryRunner): Promise<UnusedIndex[]>;
  isolation?(runner: QueryRunner): Promise<IsolationFacts>;
  charsets?(runner: QueryRunner): Promise<CharsetFacts>;
  vacuum?(runner: QueryRunner): Promise<VacuumFacts>;
  journal?(runner: QueryRunner): Promise<JournalFacts>;
  /**
   * Transactions of other connections that have been open for longer than `olderThan` milliseconds, and have locked something. Undefined
   * where the user of this connection may not see them.
   */
  openTransactions?(runner: QueryRunner, olderThan: number): Promise<OpenTransaction[] | undefined>;
}
