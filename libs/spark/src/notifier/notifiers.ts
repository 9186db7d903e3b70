import type { DataSource } from 'typeorm';
import { hasOneConnection, notificationsOf } from '../database/traits.js';
import type { TableNames } from '../database/table-names.js';
import type { Notifier, Work } from './notifier.js';
import { PostgresNotifier } from './postgres-notifier.js';
import { SqliteNotifier } from './sqlite-notifier.js';

/** How long a poll is waited for: the longest while there is nothing to do, the shortest right after there was. */
export interface Pauses {
  readonly shortest: number;
  readonly longest: number;
}

const silence: Notifier = { start: () => undefined, notify: () => undefined, stop: async () => undefined };

/** How processes on a database hear of each other. `onNotified` is called with what another one has committed; answers are waited for up to `limit` milliseconds. */
export function notifierOf(
  dataSource: DataSource,
  tables: TableNames,
  limit: number,
  onNotified: (work: Work) => void,
): Notifier {
  const way = notificationsOf(dataSource);
  if (way === 'notify') return new PostgresNotifier(dataSource, tables, limit, onNotified);
  return way === 'file' ? new SqliteNotifier(dataSource, onNotified) : silence;
}

/** MariaDB and MySQL tell nothing: there the poll itself quickens where there is something to do. */
export function pausesOf(dataSource: DataSource, pollInterval: number): Pauses {
  const quickens = notificationsOf(dataSource) === 'none' && !hasOneConnection(dataSource);
  return {
    shortest: quickens ? Math.min(50, pollInterval) : pollInterval,
    longest: quickens ? Math.min(1_000, pollInterval) : pollInterval,
  };
}
