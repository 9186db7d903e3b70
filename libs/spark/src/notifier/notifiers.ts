import type { DataSource } from 'typeorm';
import { hasOneConnection, notificationsOf } from '../database/traits.js';
import type { TableNames } from '../database/table-names.js';
import type { Notifier, Work } from './notifier.js';
import { PostgresNotifier } from './postgres-notifier.js';
import { SqliteNotifier } from './sqlite-notifier.js';

/** The time between two polls, in milliseconds: the shortest right after there was work, the longest while there is none. */
export interface Pauses {
  readonly shortest: number;
  readonly longest: number;
}

const noNotifier: Notifier = { start: () => undefined, notify: () => undefined, stop: async () => undefined };

/**
 * The notifier for a database.
 *
 * @param limit how long it waits for an answer of the database, in milliseconds
 * @param onNotified called when another process has committed work
 */
export function notifierOf(
  dataSource: DataSource,
  tables: TableNames,
  limit: number,
  onNotified: (work: Work) => void,
): Notifier {
  const way = notificationsOf(dataSource);
  if (way === 'notify') return new PostgresNotifier(dataSource, tables, limit, onNotified);
  return way === 'file' ? new SqliteNotifier(dataSource, onNotified) : noNotifier;
}

/** The times between polls. MariaDB and MySQL have no notifications, so there the process polls faster while there is work. */
export function pausesOf(dataSource: DataSource, pollInterval: number): Pauses {
  const quickens = notificationsOf(dataSource) === 'none' && !hasOneConnection(dataSource);
  return {
    shortest: quickens ? Math.min(50, pollInterval) : pollInterval,
    longest: quickens ? Math.min(1_000, pollInterval) : pollInterval,
  };
}
