import type { DataSource, ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { castToText, jsonList, rowList } from '../database/traits.js';
import { type KeyColumns, readKey } from './subject-ref.js';

/** How many keys one statement gets at most. */
export const KEYS = 500;

/** The columns of a key in SQL: escaped, with the alias if there is one. */
export function columnsSql(dataSource: DataSource, columns: readonly ColumnMetadata[], alias?: string): string[] {
  const escape = (name: string) => dataSource.driver.escape(name);
  const prefix = alias === undefined ? '' : `${escape(alias)}.`;
  return columns.map(({ databaseName }) => prefix + escape(databaseName));
}

/** SQL for a key as text, like that of `writeKey`. Databases escape control characters differently; `sameKey` removes that difference. */
export function keySql(dataSource: DataSource, columns: readonly string[]): string {
  const texts = columns.map((column) => castToText(dataSource, column));
  return texts.length === 1 ? texts[0]! : jsonList(dataSource, texts);
}

/**
 * The condition that a row has one of the keys. Its parameters are set on the query. It compares row values: a chain of ORs takes a
 * hundred times as long, and SQLite refuses it.
 */
export function keysIn(
  qb: SelectQueryBuilder<ObjectLiteral>,
  alias: string,
  metadata: KeyColumns,
  ids: readonly string[],
): string {
  const { dataSource } = qb;
  const columns = columnsSql(dataSource, metadata.primaryColumns, alias);
  const rows = ids.map((id) => readKey(dataSource, metadata, id));
  if (columns.length === 1) {
    qb.setParameter(
      'spark_ids',
      rows.map(([value]) => value),
    );
    return `${columns[0]!} IN (:...spark_ids)`;
  }
  const tuples = rows.map((row, r) => {
    row.forEach((value, c) => qb.setParameter(`spark_id${r}_${c}`, value));
    return `(${row.map((_, c) => `:spark_id${r}_${c}`).join(', ')})`;
  });
  return `(${columns.join(', ')}) IN (${rowList(dataSource, tuples.join(', '))})`;
}
