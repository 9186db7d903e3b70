import type { DataSource, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { castToText } from '../database/traits.js';
import { columnsSql } from '../entity/key-sql.js';
import { keyPart } from '../entity/subject-ref.js';

/** The new values that an update by criteria sets in columns of a primary key, or in columns that hold the key of another entity. */
interface Moved {
  /** The key that all rows have after the update, if it is known. */
  readonly key?: string;
  /** SQL for each part of the key: the new value, or the column if it does not change. */
  readonly sql: string[];
  readonly parameters: ObjectLiteral;
}

/** The values of key columns after an update; undefined when the update does not change them, or sets one to null. */
export function movedKeys(
  dataSource: DataSource,
  keys: readonly ColumnMetadata[],
  set: ObjectLiteral,
  alias?: string,
): Moved | undefined {
  const given = keys.map((column) => column.getEntityValue(set) as unknown);
  if (given.every((value) => value === undefined) || given.includes(null)) return undefined;
  const columns = columnsSql(dataSource, keys, alias);
  const parameters: ObjectLiteral = {};
  const sql = given.map((value, i) => {
    if (value === undefined) return columns[i]!;
    if (typeof value === 'function') return `(${String((value as () => unknown)())})`;
    parameters[`spark_moved${i}`] = keyPart(
      dataSource,
      keys[i]!,
      dataSource.driver.preparePersistentValue(value, keys[i]!),
    );
    return castToText(dataSource, `:spark_moved${i}`);
  });
  const [only] = given;
  const isKnown = given.length === 1 && typeof only !== 'function';
  return { key: isKnown ? (parameters.spark_moved0 as string) : undefined, sql, parameters };
}
