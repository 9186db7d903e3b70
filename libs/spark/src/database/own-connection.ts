import { DataSource, type DataSourceOptions } from 'typeorm';
import { NoAnswerError } from '../error/no-answer.error.js';
import type { Dialect } from './dialect.js';
import { dropAll, listenToNewConnections } from './driver-connections.js';
import { StatementDeadline } from './statement-deadline.js';
import { Transactions } from './transactions.js';

/**
 * One connection beside the application's pool, with a deadline of its own. It does not wait for the pool, even if handlers hold all of
 * it. It connects at its first use. On SQLite, it is the one connection that all code shares.
 */
export class OwnConnection {
  private opening: Promise<DataSource> | undefined;
  private deadline: StatementDeadline | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly dialect: Dialect,
    /** How long a statement waits for an answer, in milliseconds. */
    private readonly limit: number,
    /** How long it may take to connect, in milliseconds. */
    private readonly openingLimit: number,
  ) {}

  async transactions(): Promise<Transactions> {
    if (this.dataSource.options.type === 'better-sqlite3') return new Transactions(this.dataSource, this.dialect);
    this.opening ??= this.open().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return new Transactions(await this.opening, this.dialect);
  }

  /** Limits the wait for an answer from now on, in milliseconds. */
  shorten(limit: number): void {
    this.deadline?.shorten(limit);
  }

  async close(): Promise<void> {
    const opened = await this.opening?.catch(() => undefined);
    this.opening = undefined;
    if (!opened) return;
    if (this.deadline!.isSilent) dropAll(opened, new NoAnswerError(this.limit));
    await opened.destroy();
  }

  private open(): Promise<DataSource> {
    const own = new DataSource(optionsOf(this.dataSource, this.openingLimit));
    this.deadline = new StatementDeadline(own, this.limit, false);
    return this.deadline.within(
      async () => {
        await own.initialize();
        listenToNewConnections(own);
        return own;
      },
      (waited) => {
        const error = new NoAnswerError(waited);
        dropAll(own, error);
        return error;
      },
      this.openingLimit,
    );
  }
}

/** The options of a DataSource with one connection, without entities, that changes nothing when it connects. */
function optionsOf({ options }: DataSource, connectTimeout: number): DataSourceOptions {
  const { extra = {}, connectTimeoutMS = connectTimeout } = options as { extra?: object; connectTimeoutMS?: number };
  return {
    ...options,
    entities: [],
    subscribers: [],
    migrations: [],
    cache: false,
    synchronize: false,
    dropSchema: false,
    migrationsRun: false,
    installExtensions: false,
    poolSize: 1,
    ...(options.type === 'postgres'
      ? { connectTimeoutMS, extra: { ...extra, max: 1 } }
      : { extra: { ...extra, connectionLimit: 1 } }),
  } as DataSourceOptions;
}
