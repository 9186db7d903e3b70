import type { EntityMetadata, QueryResult, QueryRunner } from 'typeorm';
import { columnsSql } from '../entity/key-sql.js';
import { writeKey } from '../entity/subject-ref.js';
import { runnerThatQueries } from './returning-rechecks.js';

/** What makes an INSERT tell the keys of its rows. */
export interface ReturningKeys {
  readonly metadata: EntityMetadata;
  /** Whether the statement that comes has a RETURNING clause already. */
  readonly hasReturning: () => boolean;
  /** Called with the keys. */
  readonly inserted: (keys: string[]) => void;
}

/** A query runner that learns the keys of the rows that an INSERT has inserted, by the same statement: a SELECT gives what it likes. */
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
