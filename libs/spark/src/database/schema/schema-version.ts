import type { QueryRunner, TableOptions } from 'typeorm';
import type { TableNames } from '../table-names.js';

/** The place of the tables. */
export interface Place {
  readonly runner: QueryRunner;
  readonly names: TableNames;
}

/**
 * One version of Spark's tables. A released version never changes: the next change is a new version. `up` starts from the previous
 * version, or from what an interrupted `up` has left.
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
  /** Sets how the database stores tables that were created in this version. Default: nothing to set. */
  store?(place: Place): Promise<void>;
  /** Whether an interrupted `up` has left tables that `up` of the previous version would damage. Default: never. */
  hasBegun?(place: Place): Promise<boolean>;
  /** Restores the previous version. */
  down(place: Place): Promise<void>;
}
