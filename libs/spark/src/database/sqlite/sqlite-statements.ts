import { type EntityManager, QueryFailedError, type QueryRunner } from 'typeorm';
import { plainRows } from '../plain-rows.js';
import { withRunner } from '../statement.js';
import { sqliteConnectionOf } from '../typeorm-internals.js';

interface Changes {
  readonly changes: number;
  readonly lastInsertRowid: number | bigint;
}

export interface Connection {
  prepare(sql: string): {
    get(...given: unknown[]): unknown;
    all(...given: unknown[]): unknown;
    run(...given: unknown[]): Changes;
  };
}

type Prepared = ReturnType<Connection['prepare']>;

/** A runner whose `besides` must wrap statements that do not go through its `query`. */
type Runner = QueryRunner & { besides?<T>(work: () => T): T };

const statements = new WeakMap<object, Map<string, Prepared>>();

/** The compiled statement of a connection. Each is compiled once. */
export function compiled(connection: Connection, sql: string): Prepared {
  const known = statements.get(connection) ?? new Map<string, Prepared>();
  statements.set(connection, known);
  let statement = known.get(sql);
  if (!statement) known.set(sql, (statement = connection.prepare(sql)));
  return statement;
}

/**
 * Runs statements on the manager's connection without TypeORM's work for each of them, which takes longer than SQLite itself. They are
 * part of the manager's transaction.
 */
export function directly<T>(
  manager: EntityManager,
  work: (statement: (sql: string) => SqliteStatement) => T,
): Promise<T> {
  return withRunner(manager, async (runner: Runner) => {
    const run = () => work((sql) => new SqliteStatement(runner, sql));
    return runner.besides ? runner.besides(run) : run();
  });
}

/** A statement that runs synchronously. */
export class SqliteStatement {
  private prepared: Prepared | undefined;

  constructor(
    private readonly runner: Runner,
    private readonly sql: string,
  ) {}

  /** Runs the statement and returns its first row. */
  get<R>(...given: unknown[]): R | undefined {
    return this.call('get', given) as R | undefined;
  }

  /** Runs the statement and returns its rows. */
  all<R>(...given: unknown[]): R[] {
    return plainRows<R>(this.call('all', given) as unknown[]);
  }

  /** Runs a statement that returns no rows. */
  run(...given: unknown[]): Changes {
    return this.call('run', given) as Changes;
  }

  private call(method: keyof Prepared, given: unknown[]): unknown {
    const { runner, sql } = this;
    const { logger } = runner.dataSource;
    logger.logQuery(sql, given, runner);
    try {
      this.prepared ??= compiled(sqliteConnectionOf<Connection>(runner.dataSource), sql);
      return this.prepared[method](...given);
    } catch (error) {
      logger.logQueryError(error as Error, sql, given, runner);
      throw new QueryFailedError(sql, given, error as Error);
    }
  }
}
