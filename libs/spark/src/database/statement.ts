import {
  type DataSource,
  type EntityManager,
  type ObjectLiteral,
  QueryFailedError,
  type QueryResult,
  type QueryRunner,
} from 'typeorm';
import { plainRows } from './plain-rows.js';
import { LostStatementError } from '../error/lost-statement.error.js';
import { answerOf, guarded } from './statement-deadline.js';

/** An object that runs SQL: a manager of a transaction, the manager of a DataSource, or a query runner. */
export type Connection = EntityManager | QueryRunner;

/** Runs SQL with named parameters (`:name`, `:...list`). Without an open connection, it runs on the master. */
export async function execute(on: Connection, sql: string, parameters: ObjectLiteral = {}): Promise<QueryResult> {
  const [query, positional] = on.dataSource.driver.escapeQueryWithParameters(sql, parameters);
  return withRunner(on, (runner) => runner.query(query, positional, true));
}

/** Runs SQL with named parameters, and returns its rows of Spark's tables. */
export async function select<R>(on: Connection, sql: string, parameters: ObjectLiteral = {}): Promise<R[]> {
  return plainRows<R>((await execute(on, sql, parameters)).records as unknown[]);
}

/** Runs SQL with positional parameters, and returns its rows of Spark's tables. */
export async function raw<R>(on: Connection, sql: string, given: unknown[]): Promise<R[]> {
  return withRunner(on, async (runner) => plainRows<R>((await runner.query(sql, given, true)).records as unknown[]));
}

/**
 * Runs SQL with positional parameters, and returns rows of the application's tables as the driver returns them. TypeORM needs just these
 * to make entities.
 */
export async function rowsAsGiven(on: Connection, sql: string, given: unknown[]): Promise<object[]> {
  return withRunner(on, async (runner) => (await runner.query(sql, given, true)).records as object[]);
}

/** Runs SQL with positional parameters, and returns how many rows it has changed. */
export async function affected(on: Connection, sql: string, given: unknown[]): Promise<number> {
  return withRunner(on, async (runner) => (await runner.query(sql, given, true)).affected ?? 0);
}

/**
 * Runs SQL with positional parameters on PostgreSQL, and returns its rows. With a statement name, PostgreSQL prepares it once for each
 * connection.
 */
export async function prepared<R>(
  on: Connection,
  statement: string | undefined,
  text: string,
  given: unknown[],
): Promise<R[]> {
  if (statement === undefined) return raw(on, text, given);
  return withRunner(on, (runner) => answerOf(runner, () => run<R>(runner, statement, text, given)));
}

async function run<R>(runner: QueryRunner, statement: string, text: string, given: unknown[]): Promise<R[]> {
  // TypeORM cannot name a statement, so this uses the driver's own client.
  const client = (await runner.connect()) as PostgresClient;
  const { logger } = runner.dataSource;
  logger.logQuery(text, given, runner);
  try {
    return plainRows<R>((await client.query({ name: statement, text, values: given })).rows);
  } catch (error) {
    logger.logQueryError(error as Error, text, given, runner);
    if (LOST.includes((error as { code?: string }).code ?? '')) throw new LostStatementError(error as Error);
    throw new QueryFailedError(text, given, error as Error);
  }
}

// invalid_sql_statement_name, duplicate_prepared_statement
const LOST = ['26000', '42P05'];

interface PostgresClient {
  query(statement: { name: string; text: string; values: unknown[] }): Promise<{ rows: unknown[] }>;
}

/** Runs work with the query runner of `on`. If it has none, work gets a new query runner of the master, which is released afterwards. */
export function withRunner<T>(on: Connection, work: (runner: QueryRunner) => Promise<T>): Promise<T> {
  if ('transactionDepth' in on) return work(on as QueryRunner);
  const { queryRunner, dataSource } = on as EntityManager;
  return queryRunner ? work(queryRunner) : withNewRunner(dataSource, work);
}

/** Runs work with a new query runner of the master, which has Spark's deadline and is released afterwards. */
export async function withNewRunner<T>(dataSource: DataSource, work: (runner: QueryRunner) => Promise<T>): Promise<T> {
  const runner = guarded(dataSource.createQueryRunner('master'));
  try {
    return await work(runner);
  } finally {
    await runner.release();
  }
}

/** Cuts a list into parts that fit into one statement. */
export function* chunks<T>(items: readonly T[], size: number): Iterable<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

/** `(:a0, :b0), (:a1, :b1), …` for a list of rows, and its parameters. */
export function values(rows: readonly (readonly unknown[])[]): { sql: string; parameters: ObjectLiteral } {
  const parameters: ObjectLiteral = {};
  const sql = rows.map((row, r) => `(${row.map((value, c) => name(parameters, `v${r}_${c}`, value)).join(', ')})`);
  return { sql: sql.join(', '), parameters };
}

function name(parameters: ObjectLiteral, key: string, value: unknown): string {
  parameters[key] = value;
  return `:${key}`;
}
