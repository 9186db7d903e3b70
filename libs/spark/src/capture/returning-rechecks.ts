import { QueryResult, type QueryRunner } from 'typeorm';

/** What makes one statement of an UPDATE and the looks for the rows that it changed. */
export interface ReturningRechecks {
  /** SQL for the key of a changed row as text. */
  readonly key: string;
  /** Whether the statement that comes has a RETURNING clause already. */
  readonly hasReturning: () => boolean;
  /** An INSERT … SELECT of rechecks, given the parameter for the entity's table, up to its FROM. */
  readonly insert: (entity: string) => string;
  readonly entity: string;
}

/**
 * A query runner that adds looks for the rows that an UPDATE has changed, by the same statement. PostgreSQL applies the
 * criteria anew to rows that it had to wait for: what a SELECT before the UPDATE finds may be fewer.
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

/** A query runner that runs its statements in another way. */
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
    `WITH written AS (${update}${returning}), looked AS (${insert(`$${parameter}`)} FROM written) ` +
    `SELECT ${isReturning ? '*' : 'COUNT(*) AS n'} FROM written`
  );
}

/** The result as the UPDATE alone would have given it. */
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
