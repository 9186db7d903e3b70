import { DataSource, type DataSourceOptions, type EntityManager, type QueryRunner } from 'typeorm';
import { NoAnswerError } from '../error/no-answer.error.js';
import type { Dialect } from './dialect.js';
import { dropAll, listenToNewConnections } from './driver-connections.js';
import { StatementDeadline } from './statement-deadline.js';
import { withNewRunner } from './statement.js';
import { hasOneConnection } from './traits.js';
import { Transactions } from './transactions.js';

/**
 * One connection beside the application's pool, with a deadline of its own. It does not wait for the pool, even if handlers hold all of
 * it. It connects at its first use. On SQLite, it is the one connection that all code shares, except in `beside`.
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
    if (hasOneConnection(this.dataSource)) return new Transactions(this.dataSource, this.dialect);
    return new Transactions(await this.opened(), this.dialect);
  }

  /**
   * Runs work with a manager that knows the application's entities, and does not see what open transactions have written: in a transaction
   * of its own, which is READ COMMITTED. On SQLite there is no transaction, and the work must not write.
   */
  async beside<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    const own = await this.opened();
    const { dataSource } = this;
    const within = ({ queryRunner }: { queryRunner?: QueryRunner | undefined }) =>
      work(dataSource.createEntityManager(queryRunner));
    if (hasOneConnection(dataSource)) return withNewRunner(own, (queryRunner) => within({ queryRunner }));
    return new Transactions(own, this.dialect).run(within);
  }

  /** Limits the wait for an answer from now on, in milliseconds. */
  shorten(limit: number): void {
    this.deadline?.shorten(limit);
  }

  async close(): Promise<void> {
    const { opening } = this;
    this.opening = undefined;
    const opened = await opening?.catch(() => undefined);
    if (!opened) return;
    if (this.deadline!.isSilent) dropAll(opened, new NoAnswerError(this.limit));
    await opened.destroy();
  }

  private opened(): Promise<DataSource> {
    return (this.opening ??= this.open().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    }));
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

// How long a second connection to a file of SQLite waits for a lock, in milliseconds. It blocks the process meanwhile.
const SQLITE_TIMEOUT = 100;

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
    ...(options.type === 'postgres' ? { connectTimeoutMS, extra: { ...extra, max: 1 } } : {}),
    ...(options.type === 'mysql' || options.type === 'mariadb' ? { extra: { ...extra, connectionLimit: 1 } } : {}),
    ...(options.type === 'better-sqlite3' ? { timeout: SQLITE_TIMEOUT } : {}),
  } as DataSourceOptions;
}
