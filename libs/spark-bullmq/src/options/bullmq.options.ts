import type { RedisOptions } from 'ioredis';
import type { Duration } from 'nestjs-spark';

/** What a process does: it sends deliveries to Redis, or it takes them from there and handles them. */
export type BullMQRole = 'dispatch' | 'work';

/** How many jobs of a queue may begin within a time, in all processes together: BullMQ's own limiter. */
export interface BullMQRateLimit {
  /** How many jobs. */
  readonly max: number;
  /** The time, in milliseconds or as text such as `'1 minute'`. */
  readonly per: Duration;
}

/** Options of one queue. */
export interface BullMQQueueOptions {
  /**
   * Its name in Redis. All processes of one database need the same name, and two databases need two names. No `:`. Default: `'spark'`.
   */
  readonly name?: string;
  /** How many of its jobs may begin within a time, in all processes together. Default: no limit. */
  readonly rateLimit?: BullMQRateLimit;
  /** How many of its jobs all processes together may handle at once. Default: no limit. */
  readonly globalConcurrency?: number;
  /** How many deliveries a job has at most. Limits count jobs. Default: 1 if the queue has a limit, otherwise the carrier's `idsPerJob`. */
  readonly idsPerJob?: number;
}

/** Options of a queue for some handlers. */
export interface BullMQHandlersQueueOptions extends BullMQQueueOptions {
  readonly name: string;
  /** Matches the names of its handlers. The first queue that matches gets a handler. */
  readonly handlers: RegExp;
}

/**
 * Options of {@link BullMQCarrier}. Give all processes the same, but `roles`.
 *
 * @example
 * const carrier = new BullMQCarrier({
 *   connection: { host: 'redis.internal' },
 *   roles: ['work'],
 *   queues: [{ name: 'spark-mails', handlers: /-mails$/, rateLimit: { max: 100, per: '1s' } }],
 * });
 */
export interface BullMQCarrierOptions {
  /** Where Redis is: a URL, or options of ioredis, such as those of sentinels. */
  readonly connection: string | RedisOptions;
  /** What all keys in Redis begin with: BullMQ's `prefix`. Default: `'bull'`. */
  readonly prefix?: string;
  /** The queue of all handlers that have no other. Default: `{ name: 'spark' }`. */
  readonly queue?: BullMQQueueOptions;
  /** More queues, each for some handlers. Each costs a process two or three connections. Default: none. */
  readonly queues?: readonly BullMQHandlersQueueOptions[];
  /** What this process does. Default: `['dispatch', 'work']`. */
  readonly roles?: readonly BullMQRole[];
  /**
   * How many deliveries of a handler this process has on their way at most. It bounds the memory of Redis. Raise it for handlers that take
   * milliseconds and have many deliveries. Default: 1,000, and in a queue with a `rateLimit` at most what begins in half of `ttl`.
   */
  readonly window?: number;
  /** How many deliveries a job has at most. Those of a job have the same handler. Default: 50. */
  readonly idsPerJob?: number;
  /** How many jobs of a handler this process has at once. Default: what fills the handler's slots twice, and at least 2. */
  readonly concurrency?: number;
  /**
   * How long a delivery may be on its way before Spark sends it again. Give handlers time to take up what is in the window. Default: 1
   * minute.
   */
  readonly ttl?: Duration;
  /**
   * What a process with the role `work` does while Redis is away: `'local'` claims deliveries from the database, as Spark does without a
   * carrier; `'wait'` leaves them there until Redis is back. BullMQ's limits do not hold for what is claimed. Default: `'wait'` if a queue has
   * a limit, otherwise `'local'`.
   */
  readonly fallback?: 'local' | 'wait';
}
