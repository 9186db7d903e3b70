import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';
import type { AlertOptions } from './alert.options.js';
import type { DeliveryCarrier } from './carrier.js';
import type { Duration } from './duration.js';

export type { Duration } from './duration.js';

/** When the sweep runs: a cron expression (in a time zone, by default the process's), or a fixed interval. */
export type SweepSchedule =
  | {
      /** Five fields, or six with seconds first. */
      cron: string;
      /** An IANA name such as `'Europe/Berlin'`. Default: the process's time zone. */
      timeZone?: string;
    }
  | {
      /** The time from the begin of one sweep to the begin of the next. */
      interval: Duration;
    };

/** How sweeps read tables, in this process. */
export interface SweepOptions {
  /** How many ranges of a table this process sweeps at the same time. Default: 1. */
  concurrency?: number;
  /** How many entities a second this process reads at most. Default: as many as it can. */
  rate?: number;
  /**
   * How long after a sweep that has read all rows the next one reads all rows again. Between them, sweeps read only the rows that have
   * changed, where Spark knows that nothing else can have new events: on PostgreSQL, and if `version` is given. Default: 1 day.
   */
  full?: Duration;
}

/** Options of the worker, the part of a process that handles deliveries. */
export interface WorkerOptions {
  /** How many deliveries this process handles at once. Default: 10, or the pool's number of connections minus two if that is less. */
  concurrency?: number;
  /** How often this process polls for due rechecks and deliveries of which no notification has arrived. Default: 2 seconds. */
  pollInterval?: Duration;
  /**
   * How often Spark tries a delivery before it discards it, unless the handler sets `maxAttempts`. Default: 80, which takes about two
   * days.
   */
  maxAttempts?: number;
  /**
   * How long a handler without a `timeout` of its own may take. After that time, Spark aborts its signal and frees its place, and the
   * attempt has failed. Default: 1 hour.
   */
  handlerTimeout?: Duration;
  /**
   * How long a lease lasts. A process that has not renewed its lease for this time loses the deliveries that it has claimed. Default: 30
   * seconds.
   */
  leaseTtl?: Duration;
  /** How often the process renews its lease, and ends the expired leases of other processes. Default: a sixth of `leaseTtl`, 5 seconds. */
  leaseRenewal?: Duration;
  /**
   * Brings deliveries to the processes that handle them, by another queue such as BullMQ or SQS. It does not carry those of handlers with
   * `batch`, `rateLimit` or `fleetConcurrency`, nor those whose process has died: workers claim these themselves. Default: none, workers
   * claim all deliveries.
   */
  carrier?: DeliveryCarrier;
}

/**
 * What happens with the past events that the first sweep of a group finds.
 *
 * @example
 * SparkModule.forRoot({ activation: { limit: 0 } }) // none of them is delivered before the application calls release(group)
 */
export interface ActivationOptions {
  /**
   * Up to how many deliveries of a group Spark releases at the end of its first sweep. If there are more, all of them stay held. Default:
   * 1,000.
   */
  limit?: number;
}

/** How long Spark keeps finished deliveries. It keeps keys of events for ever, unless `keys` names their group. */
export interface RetentionOptions {
  /** Completed and skipped deliveries. Default: for ever. */
  completed?: Duration;
  /** Discarded deliveries. Default: for ever. */
  discarded?: Duration;
  /**
   * Rechecks of entities of which no process has a live source, counted from the time at which they were due. They remain when a source
   * is removed from the application. A process removes them once it has been up for an hour. Default: 30 days.
   */
  rechecks?: Duration;
  /**
   * For each group, how long after its entry the key of an event is kept. A key with deliveries stays longer: until they are gone. Use it
   * only for groups whose sources do not yield an old key again, such as one event a day. A removed key that is yielded again is a new
   * event. Default: for ever.
   */
  keys?: Readonly<Record<string, Duration>>;
  /** Alerts that are over. Default: 30 days. */
  alerts?: Duration;
}

/** How Spark runs event sources. */
export interface SourcesOptions {
  /**
   * How long one call of a source may take, unless the source has a `timeout` of its own. A source that takes longer has failed for that
   * entity or batch, and Spark runs it again later. Default: 30 seconds.
   */
  timeout?: Duration;
}

/** How Spark sends statements to PostgreSQL. */
export interface PostgresOptions {
  /**
   * Whether Spark prepares its own frequent statements, once for each connection. Set `false` behind a pooler that hands connections
   * over between transactions and does not keep prepared statements, such as PgBouncer before 1.21. Default: true.
   */
  prepare?: boolean;
}

/** How Spark keeps the transactions of a SQLite DataSource apart. */
export interface SqliteOptions {
  /** Whether Spark serialises the transactions of this DataSource, which has one connection. Default: true. */
  serialize?: boolean;
  /** How long a transaction or statement waits for another transaction to end. Default: 30 seconds. */
  lockTimeout?: Duration;
}

/** Options for `SparkModule.forRoot`, and for the factory of `forRootAsync`. All of them are optional. */
export interface SparkDynamicOptions {
  /** Whether Spark captures saves as they happen. With `false`, only sweeps find events. Default: true. */
  live?: boolean;
  /**
   * Whether rechecks, deliveries and scheduled sweeps begin with the application. With `false`, they begin when the application calls
   * `SparkService.start()`. Live capture and the methods of SparkService work in both cases. Default: true.
   */
  autoStart?: boolean;
  /**
   * When Spark sweeps, and how. With `false`, it sweeps only when the application calls `SparkService.sweep()`. Default: false.
   */
  sweep?: (SweepSchedule & SweepOptions) | false;
  /**
   * The version of the application: any text of at most 100 characters that changes whenever the code or the configuration that event
   * sources use may have changed, such as the number of a release. With it, sweeps on PostgreSQL can read only the rows that have
   * changed. Default: none.
   */
  version?: string;
  /** How Spark runs event sources. Default: `{}`. */
  sources?: SourcesOptions;
  /** What happens with the deliveries of a group that was never swept before. Default: `{}`. */
  activation?: ActivationOptions;
  /** How this process handles deliveries. With `false`, it only records them for other processes. Default: `{}`. */
  worker?: WorkerOptions | false;
  /** Whether Spark keeps completed deliveries, with attempts and duration. With `false`, it removes them at once. Default: true. */
  history?: boolean;
  /** How long Spark keeps finished deliveries, if `history` is true. Default: for ever. */
  retention?: RetentionOptions;
  /**
   * When Spark raises alerts, and whom it notifies. Processes with a worker watch for them together; give all of them the same options. With
   * `false`, this process does not watch, and notifies nobody. Default: `{}`, all conditions with their default limits, written to the log.
   */
  alerts?: AlertOptions | false;
  /** How long a handler still gets new deliveries after the last process that has it was seen. At least 5 minutes. Default: 7 days. */
  handlerExpiry?: Duration;
  /**
   * How long a shutdown waits for running handlers. Then Spark aborts their signals and gives their deliveries back. Default: 10 seconds.
   */
  shutdownTimeout?: Duration;
  /**
   * How long Spark waits for PostgreSQL, MariaDB or MySQL to answer a statement of its own. Then Spark drops the connection. Statements
   * of sources, handlers and the rest of the application have no such limit. Default: 30 seconds.
   */
  statementTimeout?: Duration;
  /** Only for PostgreSQL. */
  postgres?: PostgresOptions;
  /** Only for better-sqlite3. */
  sqlite?: SqliteOptions;
}

/** The options that Spark needs before it can call a factory. */
export interface SparkStaticOptions {
  /** The name of the TypeORM DataSource. Default: the unnamed one. */
  dataSource?: string;
  /** Whether `SparkService` can be injected without importing the module. Default: true. */
  isGlobal?: boolean;
  /** The beginning of the names of Spark's tables. Default: `spark_`. */
  tablePrefix?: string;
  /** The schema (PostgreSQL) or database (MariaDB, MySQL) of Spark's tables. Default: that of the DataSource. */
  schema?: string;
}

/**
 * Options of `SparkModule.forRoot`.
 *
 * @example
 * SparkModule.forRoot({ sweep: { cron: CronExpression.EVERY_10_MINUTES, timeZone: 'Europe/Berlin' } })
 */
export interface SparkModuleOptions extends SparkStaticOptions, SparkDynamicOptions {}

/** A provider of options for `forRootAsync`'s `useClass` and `useExisting`. */
export interface SparkOptionsFactory {
  createSparkOptions(): SparkDynamicOptions | Promise<SparkDynamicOptions>;
}

/**
 * Options of `SparkModule.forRootAsync`.
 *
 * @example
 * SparkModule.forRootAsync({
 *   inject: [ConfigService],
 *   useFactory: (config: ConfigService) => ({ sweep: { cron: config.getOrThrow('SWEEP_CRON') } }),
 * })
 */
export interface SparkModuleAsyncOptions extends SparkStaticOptions, Pick<ModuleMetadata, 'imports'> {
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  useFactory?: (...args: any[]) => SparkDynamicOptions | Promise<SparkDynamicOptions>;
  useClass?: Type<SparkOptionsFactory>;
  useExisting?: InjectionToken;
}
