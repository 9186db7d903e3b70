import { type EntityManager, QueryFailedError, type QueryRunner } from 'typeorm';
import { withRunner } from './statement.js';

/** Statements on a better-sqlite3 connection that run at once, a row at a time. */
export interface SqliteStatements {
  /** The first row that a statement gives. */
  get<R>(sql: string, ...given: unknown[]): R | undefined;
  /** Runs a statement that gives no rows. */
  run(sql: string, ...given: unknown[]): { changes: number; lastInsertRowid: number | bigint };
}

export interface Connection {
  prepare(sql: string): {
    get(...given: unknown[]): unknown;
    run(...given: unknown[]): { changes: number; lastInsertRowid: number | bigint };
  };
}

type Prepared = ReturnType<Connection['prepare']>;

/** A runner that wants to know of statements which it does not run itself. */
type Runner = QueryRunner & { besides?<T>(work: () => T): Promise<T> };

const prepared = new WeakMap<object, Map<string, Prepared>>();

/** A statement on a connection, compiled once. */
export function compiled(connection: Connection, sql: string): Prepared {
  const known = prepared.get(connection) ?? new Map<string, Prepared>();
  prepared.set(connection, known);
  let statement = known.get(sql);
  if (!statement) known.set(sql, (statement = connection.prepare(sql)));
  return statement;
}

/**
 * Runs statements on the manager's connection without TypeORM's round about each of them, which takes longer than SQLite
 * itself. They are part of the manager's transaction.
 */
export function directly<T>(manager: EntityManager, work: (statements: SqliteStatements) => T): Promise<T> {
  return withRunner(manager, async (runner: Runner) => {
    const connection = (await runner.connect()) as Connection;
    const run = () => work(statementsOn(runner, connection));
    return runner.besides ? runner.besides(run) : run();
  });
}

function statementsOn(runner: Runner, connection: Connection): SqliteStatements {
  const { logger } = runner.dataSource;
  const on = <T>(sql: string, given: unknown[], use: (statement: Prepared) => T): T => {
    logger.logQuery(sql, given, runner);
    try {
      return use(compiled(connection, sql));
    } catch (error) {
      logger.logQueryError(error as Error, sql, given, runner);
      throw new QueryFailedError(sql, given, error as Error);
    }
  };
  return {
    get: <R>(sql: string, ...given: unknown[]) =>
      on(sql, given, (statement) => statement.get(...given) as R | undefined),
    run: (sql, ...given) => on(sql, given, (statement) => statement.run(...given)),
  };
}
