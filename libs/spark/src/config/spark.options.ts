import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';

/** A length of time: milliseconds, or text such as `'30s'`, `'5 minutes'`, `'2 days'`. */
export type Duration = number | string;

/** When the sweep runs: a cron expression (in a time zone, by default the process's), or a fixed interval. */
export type SweepSchedule =
  | {
      /** Five fields, or six with seconds first. */
      cron: string;
      /** Such as `'Europe/Berlin'`. Default: the process's. */
      timeZone?: string;
    }
  | {
      /** From one sweep's begin to the next one's. */
      interval: Duration;
    };

/** What a worker of this process may do. */
export interface WorkerOptions {
  /** How many deliveries this process handles at once. Default: 10, or two fewer than the pool has connections where that is less. */
  concurrency?: number;
  /** How often this process looks for due rechecks and deliveries that no process has told it of. Default: 2 seconds. */
  pollInterval?: Duration;
  /** How often a delivery is tried before it is discarded, unless its handler says otherwise. Default: 80, which takes about two days. */
  maxAttempts?: number;
  /**
   * How long a handler may take that has no `timeout` of its own: then its signal is aborted, its place is free, and the attempt has
   * failed. Default: 1 hour.
   */
  handlerTimeout?: Duration;
  /** How long a process that does not renew its lease keeps what it has claimed. Default: 30 seconds. */
  leaseTtl?: Duration;
  /** How often the lease is renewed, and those of dead processes are ended. Default: a sixth of `leaseTtl`, 5 seconds. */
  leaseRenewal?: Duration;
}

/**
 * What becomes of the history that the first sweep of a group finds.
 *
 * @example
 * SparkModule.forRoot({ activation: { limit: 0 } }) // nothing of it is delivered before somebody calls release(group)
 */
export interface ActivationOptions {
  /** Up to how many deliveries of a group are made by themselves at the end of its first sweep; more stay held. Default: 1,000. */
  limit?: number;
}

/** How long finished deliveries are kept. Keys of events stay for ever, unless their group is named here. */
export interface RetentionOptions {
  /** Completed and skipped ones. Default: for ever. */
  completed?: Duration;
  /** Discarded ones. Default: for ever. */
  discarded?: Duration;
  /**
   * Rechecks of entities that no process has a live source of, counted from when they were due. A source that is taken away leaves
   * them behind. A process removes them once it has been up for an hour. Default: 30 days.
   */
  rechecks?: Duration;
  /**
   * By group, how long after they were entered the keys of its events are kept, once their deliveries are gone. Only for
   * groups whose sources do not yield an old key again, such as one event a day: what they yield again happens again.
   */
  keys?: Readonly<Record<string, Duration>>;
}

/** How event sources are run. */
export interface SourcesOptions {
  /**
   * How long one call of a source may take, unless the source says otherwise. A source that takes longer has failed for that entity,
   * or that batch; it is run again later. Default: 30 seconds.
   */
  timeout?: Duration;
}

/** How statements are sent to PostgreSQL. */
export interface PostgresOptions {
  /**
   * Whether Spark's own statements that run often are prepared, once for each connection. `false` behind a pooler that hands
   * connections over between transactions and does not keep prepared statements, such as PgBouncer before 1.21. Default: true.
   */
  prepare?: boolean;
}

/** How transactions of a SQLite DataSource are kept apart. */
export interface SqliteOptions {
  /** Whether Spark serialises the transactions of this DataSource, which has one connection. Default: true. */
  serialize?: boolean;
  /** How long a transaction or statement waits for another transaction to end. Default: 30 seconds. */
  lockTimeout?: Duration;
}

/** What `SparkModule.forRoot` takes, and what the factory of `forRootAsync` gives. Everything is optional. */
export interface SparkDynamicOptions {
  /** Whether saves are captured as they happen; `false` leaves everything to the sweep. Default: true. */
  live?: boolean;
  /**
   * Whether rechecks, deliveries and scheduled sweeps begin with the application; `false`: when `SparkService.start()` is called. Live
   * capture and what is called by hand work all the same. Default: true.
   */
  autoStart?: boolean;
  /** When to sweep; `false` only when asked by `SparkService.sweep()`. Default: false. */
  sweep?: SweepSchedule | false;
  /** How event sources are run. Default: `{}`. */
  sources?: SourcesOptions;
  /** What becomes of the deliveries of a group that was never swept before. Default: `{}`. */
  activation?: ActivationOptions;
  /** How this process handles deliveries; `false` only records them for other processes. Default: `{}`. */
  worker?: WorkerOptions | false;
  /** Whether completed deliveries are kept, with attempts and duration; `false` removes them at once. Default: true. */
  history?: boolean;
  /** How long finished deliveries are kept, where there is a history. Default: for ever. */
  retention?: RetentionOptions;
  /** How long after it was last seen a handler still gets new deliveries, 5 minutes at least. Default: 7 days. */
  handlerExpiry?: Duration;
  /** How long a shutdown waits for running handlers; then they are told to stop, and their deliveries given back. Default: 10 seconds. */
  shutdownTimeout?: Duration;
  /**
   * How long Spark waits for an answer of PostgreSQL, MariaDB or MySQL to a statement of its own; then it drops the connection. Statements
   * of sources, handlers and the rest of the application have no such limit. Default: 30 seconds.
   */
  statementTimeout?: Duration;
  /** Only for PostgreSQL. */
  postgres?: PostgresOptions;
  /** Only for better-sqlite3. */
  sqlite?: SqliteOptions;
}

/** The options that name things, needed before a factory can run. */
export interface SparkStaticOptions {
  /** The name of the TypeORM DataSource. Default: the unnamed one. */
  dataSource?: string;
  /** Whether `SparkService` can be injected without importing the module. Default: true. */
  isGlobal?: boolean;
  /** What the names of Spark's tables begin with. Default: `spark_`. */
  tablePrefix?: string;
  /** The schema (PostgreSQL) or database (MariaDB, MySQL) of Spark's tables. Default: the DataSource's. */
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
