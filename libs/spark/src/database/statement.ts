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
  return plainRows<R>(await send(on, { name: statement, text, values: given }));
}

/** A row as the database sends it: the texts of its values, in the order of its columns. */
export type Texts = readonly (string | null)[];

/** The same for statements with many rows: objects with parsed values would cost several times as much. */
export function preparedTexts(
  on: Connection,
  statement: string | undefined,
  text: string,
  given: unknown[],
): Promise<Texts[]> {
  return send(on, { name: statement, text, values: given, rowMode: 'array', types: UNPARSED }) as Promise<Texts[]>;
}

const UNPARSED = { getTypeParser: () => (text: string) => text };

/** Sends a statement by the driver's own client: TypeORM can neither name it nor leave its values as they are. */
function send(on: Connection, statement: PostgresStatement): Promise<unknown[]> {
  return withRunner(on, (runner) => answerOf(runner, () => sendBy(runner, statement)));
}

async function sendBy(runner: QueryRunner, statement: PostgresStatement): Promise<unknown[]> {
  const client = (await runner.connect()) as PostgresClient;
  const { logger } = runner.dataSource;
  const { text, values: given } = statement;
  logger.logQuery(text, given, runner);
  try {
    return (await client.query(statement)).rows;
  } catch (error) {
    logger.logQueryError(error as Error, text, given, runner);
    if (LOST.includes((error as { code?: string }).code ?? '')) throw new LostStatementError(error as Error);
    throw new QueryFailedError(text, given, error as Error);
  }
}

// invalid_sql_statement_name, duplicate_prepared_statement
const LOST = ['26000', '42P05'];

interface PostgresClient {
  query(statement: PostgresStatement): Promise<{ rows: unknown[] }>;
}

interface PostgresStatement {
  readonly name: string | undefined;
  readonly text: string;
  readonly values: unknown[];
  readonly rowMode?: 'array';
  readonly types?: { getTypeParser(): (text: string) => unknown };
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
