import type { DataSource } from 'typeorm';
import { hasOneConnection, notificationsOf } from '../database/traits.js';
import type { Dialect } from '../database/dialect.js';
import type { TableNames } from '../database/table-names.js';
import type { Notifier, OnNotified } from './notifier.js';
import { PostgresNotifier } from './postgres-notifier.js';
import { SqliteNotifier } from './sqlite-notifier.js';

/** The time between two polls, in milliseconds: the shortest right after there was work, the longest while there is none. */
export interface Pauses {
  readonly shortest: number;
  readonly longest: number;
}

const nothing = (): void => undefined;
const noNotifier: Notifier = {
  channel: '',
  start: nothing,
  notifyAll: nothing,
  notifyOne: nothing,
  hint: nothing,
  stop: async () => undefined,
};

/**
 * The notifier for a database.
 *
 * @param limit how long it waits for an answer of the database, in milliseconds
 */
export function notifierOf(
  dataSource: DataSource,
  dialect: Dialect,
  tables: TableNames,
  limit: number,
  onNotified: OnNotified,
): Notifier {
  const way = notificationsOf(dataSource);
  if (way === 'notify') return new PostgresNotifier(dataSource, dialect, tables, limit, onNotified);
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
