import type { ConnectionOptions } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import type { CarrierSettings } from '../options/settings.js';

/** How long Redis may take for a command, in milliseconds. */
export const ANSWER = 3_000;
// So long a connection that waits for an answer may be silent, in milliseconds. BullMQ lets Redis block for up to 10 seconds.
const SILENCE = 30_000;
const MOST_WAIT = 2_000;

const shared = (connection: CarrierSettings['connection']): CarrierSettings['connection'] => ({
  keepAlive: 10_000,
  retryStrategy: (times: number) => Math.min(times * 100, MOST_WAIT),
  // After a failover, the old primary refuses writes: its name leads to the new one by then.
  reconnectOnError: ({ message }: Error) => message.startsWith('READONLY'),
  ...connection,
});

/** A connection whose commands fail at once while Redis is away. By default, ioredis would keep them until it is back. */
export function impatient(connection: CarrierSettings['connection']): Redis {
  const { url, ...options } = shared(connection);
  const given: RedisOptions = {
    ...options,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    commandTimeout: ANSWER,
    socketTimeout: SILENCE,
  };
  return url === undefined ? new Redis(given) : new Redis(url, given);
}

/** Options of a connection that waits for Redis as long as it takes: BullMQ demands that where it blocks. */
export function patient(connection: CarrierSettings['connection']): ConnectionOptions {
  return { ...shared(connection), maxRetriesPerRequest: null, socketTimeout: SILENCE } as ConnectionOptions;
}

/** Where Redis is, for log lines: without a password. */
export function placeOf({ url, host, port, path, sentinels, name }: CarrierSettings['connection']): string {
  if (url !== undefined) return new URL(url).host;
  if (sentinels) return `${name ?? 'the primary'} of ${sentinels.length} sentinels`;
  return path ?? `${host ?? '127.0.0.1'}:${port ?? 6379}`;
}
