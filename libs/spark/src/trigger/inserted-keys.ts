import type { EntityMetadata, InsertQueryBuilder, InsertResult, ObjectLiteral, QueryRunner } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { keyOf } from '../subject/subject-ref.js';
import { readKeysBy } from '../subject/subjects.js';

type ExpressionMap = InsertQueryBuilder<ObjectLiteral>['expressionMap'];

/**
 * Runs an insert by a builder and finds the keys of its rows. TypeORM's ids are right for a plain insert; where rows
 * may have existed (upsert, orIgnore) they are shifted or invented, so such rows are found by their unique columns too.
 * A key too many is harmless: its row is read, or is not there.
 */
export async function insertedKeys(
  runner: QueryRunner,
  metadata: EntityMetadata,
  { valuesSet, onIgnore, onUpdate }: ExpressionMap,
  run: () => Promise<unknown>,
): Promise<{ result: unknown; keys: string[] }> {
  const rows = rowsOf(valuesSet);
  const given = givenKeys(runner, metadata, rows);
  const result = (await run()) as InsertResult;
  const merged = result.identifiers.map((id) => id && keyIn(runner, metadata, id));
  const existed = onIgnore || onUpdate ? await keysByUniques(runner, metadata, rows) : [];
  const keys = new Set([...given, ...merged, ...existed].filter((key) => key !== undefined));
  return { result, keys: [...keys] };
}

/** The keys of the rows that an upsert is about to change, by their own or by their unique columns. */
export async function upsertedKeys(
  runner: QueryRunner,
  metadata: EntityMetadata,
  { valuesSet }: ExpressionMap,
): Promise<string[]> {
  const rows = rowsOf(valuesSet);
  const keys = [...givenKeys(runner, metadata, rows), ...(await keysByUniques(runner, metadata, rows))];
  return [...new Set(keys.filter((key) => key !== undefined))];
}

const rowsOf = (values: ExpressionMap['valuesSet']) => (Array.isArray(values) ? values : [values]) as ObjectLiteral[];

const givenKeys = (runner: QueryRunner, metadata: EntityMetadata, rows: ObjectLiteral[]) =>
  rows.map((row) => keyIn(runner, metadata, row));

async function keysByUniques(runner: QueryRunner, metadata: EntityMetadata, rows: ObjectLiteral[]): Promise<string[]> {
  const keys: string[] = [];
  for (const columns of uniqueColumns(metadata))
    keys.push(...(await readKeysBy(runner.manager, metadata, columns, rows)));
  return keys;
}

function keyIn(runner: QueryRunner, metadata: EntityMetadata, row: ObjectLiteral): string | undefined {
  const isSql = metadata.primaryColumns.some((column) => typeof column.getEntityValue(row) === 'function');
  return isSql ? undefined : keyOf(runner.dataSource, metadata, row);
}

function uniqueColumns(metadata: EntityMetadata): ColumnMetadata[][] {
  const indexes = metadata.indices.filter(({ isUnique }) => isUnique).map(({ columns }) => columns);
  return [...metadata.uniques.map(({ columns }) => columns), ...indexes].filter(({ length }) => length > 0);
}
