import type { EntityMetadata, QueryResult, QueryRunner } from 'typeorm';
import { columnsSql } from '../entity/key-sql.js';
import { writeKey } from '../entity/subject-ref.js';
import { runnerThatQueries } from './returning-rechecks.js';

/** How an INSERT returns the keys of its rows. */
export interface ReturningKeys {
  readonly metadata: EntityMetadata;
  /** Whether the statement already has a RETURNING clause. */
  readonly hasReturning: () => boolean;
  /** Gets the keys of the inserted rows. */
  readonly inserted: (keys: string[]) => void;
}

/** A query runner whose INSERT … SELECT also returns the keys of its rows. Without that, the keys are unknown: the SELECT decides them. */
export function returningKeys(runner: QueryRunner, { metadata, hasReturning, inserted }: ReturningKeys): QueryRunner {
  const { dataSource } = runner;
  const columns = columnsSql(dataSource, metadata.primaryColumns);
  return runnerThatQueries(runner, async (sql, parameters) => {
    const isReturning = hasReturning();
    const key = columns.map((column, i) => `${column} AS spark_key${i}`).join(', ');
    const returning = `${isReturning ? ',' : ' RETURNING'} ${key}`;
    const result: QueryResult = await runner.query(sql + returning, parameters, true);
    const rows = result.records as Record<string, unknown>[];
    inserted(
      rows.map((row) =>
        writeKey(
          dataSource,
          metadata,
          columns.map((_, i) => row[`spark_key${i}`]),
        ),
      ),
    );
    for (const row of rows) columns.forEach((_, i) => delete row[`spark_key${i}`]);
    result.affected = rows.length;
    result.records = isReturning ? rows : [];
    result.raw = result.records;
    return result;
  });
}
