import type { QueryRunner, TableOptions } from 'typeorm';
import type { TableNames } from '../table-names.js';

/** Where the tables are. */
export interface Place {
  readonly runner: QueryRunner;
  readonly names: TableNames;
}

/**
 * One version of Spark's tables. A released one never changes: the next change is a version of its own. `up` works from what
 * the version before left, and from what an `up` that was interrupted left.
 */
export interface SchemaVersion {
  readonly version: number;
  /** The name of the migration class. */
  readonly migration: string;
  /** The first release of nestjs-spark that works with it. */
  readonly release: string;
  /** The tables with all columns and indexes, as they are after `up`. */
  tables(place: Place): Promise<TableOptions[]>;
  up(place: Place): Promise<void>;
  /** Whether an `up` that was interrupted has left what `up` of the version before would spoil. Default: never. */
  hasBegun?(place: Place): Promise<boolean>;
  /** Leaves what the version before made. */
  down(place: Place): Promise<void>;
}
