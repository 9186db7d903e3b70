import type { DataSource } from 'typeorm';
import type { TableNames } from '../dialect/table-names.js';
import { DataVersion } from './data-version.js';
import { Notifications } from './notifications.js';

/** What there may be to do. */
export interface Work {
  readonly looks: boolean;
  readonly deliveries: boolean;
}

/** Lets processes hear of each other's work sooner than they would by polling. What is not heard is found by the next poll. */
export interface WakeUp {
  start(): void;
  /** This process has committed work that others may do as well. */
  tell(work: Work): void;
  stop(): Promise<void>;
}

/** How long a poll is waited for: the longest while there is nothing to do, the shortest right after there was. */
export interface Pauses {
  readonly shortest: number;
  readonly longest: number;
}

const silence: WakeUp = { start: () => undefined, tell: () => undefined, stop: async () => undefined };

/** How processes on a database hear of each other. `heard` is called with what another one has committed; answers are waited for up to `limit` milliseconds. */
export function wakeUpOf(
  dataSource: DataSource,
  tables: TableNames,
  limit: number,
  heard: (work: Work) => void,
): WakeUp {
  const { options } = dataSource;
  if (options.type === 'postgres') return new Notifications(dataSource, tables, limit, heard);
  if (options.type === 'better-sqlite3' && isFile(options.database)) return new DataVersion(dataSource, heard);
  return silence;
}

/** MariaDB and MySQL tell nothing: there the poll itself quickens where there is something to do. */
export function pausesOf({ options: { type } }: DataSource, pollInterval: number): Pauses {
  const quickens = type === 'mysql' || type === 'mariadb';
  return {
    shortest: quickens ? Math.min(50, pollInterval) : pollInterval,
    longest: quickens ? Math.min(1_000, pollInterval) : pollInterval,
  };
}

const isFile = (database: string): boolean => database !== '' && !database.includes(':memory:');
