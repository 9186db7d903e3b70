import { QueryResult, type QueryRunner } from 'typeorm';

/** How an UPDATE and the insert of rechecks for its rows become one statement. */
export interface ReturningRechecks {
  /** SQL for the key of a changed row as text. */
  readonly key: string;
  /** Whether the statement already has a RETURNING clause. */
  readonly hasReturning: () => boolean;
  /** Makes an INSERT … SELECT of rechecks up to its FROM, from the parameter that holds the name of the entity's table. */
  readonly insert: (entity: string) => string;
  readonly entity: string;
}

/**
 * A query runner whose UPDATE also adds rechecks for the rows that it changes, in the same statement. A SELECT before the UPDATE could
 * find fewer rows: PostgreSQL checks the criteria again for rows whose locks it had to wait for.
 */
export function returningRechecks(runner: QueryRunner, rechecks: ReturningRechecks): QueryRunner {
  return runnerThatQueries(runner, async (sql, parameters) => {
    const isReturning = rechecks.hasReturning();
    const result = await runner.query(
      statement(sql, isReturning, parameters.length + 1, rechecks),
      [...parameters, rechecks.entity],
      true,
    );
    return asOfUpdate(result.records as Record<string, unknown>[], isReturning);
  });
}

/** A query runner that sends its statements through `run`. */
export function runnerThatQueries(
  runner: QueryRunner,
  run: (sql: string, parameters: unknown[]) => Promise<QueryResult>,
): QueryRunner {
  const query = (sql: string, parameters: unknown[] = []) => run(sql, parameters);
  return new Proxy(runner, {
    get(target, property) {
      if (property === 'query') return query;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

function statement(
  update: string,
  isReturning: boolean,
  parameter: number,
  { key, insert }: ReturningRechecks,
): string {
  const returning = `${isReturning ? ',' : ' RETURNING'} ${key} AS spark_key`;
  return (
    `WITH written AS (${update}${returning}), rechecked AS (${insert(`$${parameter}`)} FROM written) ` +
    `SELECT ${isReturning ? '*' : 'COUNT(*) AS n'} FROM written`
  );
}

/** The result that the UPDATE alone would have. */
function asOfUpdate(rows: Record<string, unknown>[], isReturning: boolean): QueryResult {
  const result = new QueryResult();
  result.records = isReturning ? rows.map(withoutKey) : [];
  result.affected = isReturning ? rows.length : Number(rows[0]!.n);
  result.raw = [result.records, result.affected];
  return result;
}

function withoutKey(row: Record<string, unknown>): Record<string, unknown> {
  delete row.spark_key;
  return row;
}
