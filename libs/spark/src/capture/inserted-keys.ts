import type { EntityMetadata, InsertQueryBuilder, InsertResult, ObjectLiteral, QueryRunner } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { keyOf } from '../entity/subject-ref.js';
import { readKeysBy } from '../entity/subjects.js';

type ExpressionMap = InsertQueryBuilder<ObjectLiteral>['expressionMap'];

/**
 * Runs an insert by a builder and finds the keys of its rows. TypeORM's ids are right for a plain insert. Where rows may have existed
 * before (upsert, orIgnore), they may be wrong, so such rows are also found by their unique columns. An extra key does no harm: Spark
 * reads its row, or finds none.
 */
export async function insertedKeys(
  runner: QueryRunner,
  metadata: EntityMetadata,
  { valuesSet, onIgnore, onUpdate }: ExpressionMap,
  run: () => Promise<unknown>,
): Promise<{ result: unknown; keys: string[] }> {
  const rows = rowsOf(valuesSet);
  const given = rows.map((row) => keyIn(runner, metadata, row));
  const result = (await run()) as InsertResult;
  const merged = result.identifiers.map((id) => id && keyIn(runner, metadata, id));
  const keys = new Set([...given, ...merged].filter((key) => key !== undefined));
  if (onIgnore || onUpdate) for (const key of await keysByUniques(runner, metadata, rows)) keys.add(key);
  return { result, keys: [...keys] };
}

/** The keys of the rows that an upsert may overwrite. */
export async function overwrittenKeys(
  runner: QueryRunner,
  metadata: EntityMetadata,
  { valuesSet }: ExpressionMap,
): Promise<string[]> {
  const rows = rowsOf(valuesSet);
  const given = rows.flatMap((row) => keyIn(runner, metadata, row) ?? []);
  return [...new Set([...given, ...(await keysByUniques(runner, metadata, rows))])];
}

const rowsOf = (valuesSet: ExpressionMap['valuesSet']): ObjectLiteral[] =>
  (Array.isArray(valuesSet) ? valuesSet : [valuesSet]) as ObjectLiteral[];

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
