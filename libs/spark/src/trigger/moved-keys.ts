import type { DataSource, ObjectLiteral } from 'typeorm';
import { columnsSql } from '../subject/key-sql.js';
import { keyPart } from '../subject/subject-ref.js';
import type { TouchRule } from '../subject/touches.js';

/** What an update by criteria sets in the columns by which rows say what they belong to. */
interface Moved {
  /** The key that all rows have afterwards, where that is known. */
  readonly key?: string;
  /** Else SQL for each part of it: what is set, or the column that stays. */
  readonly sql: string[];
  readonly parameters: ObjectLiteral;
}

/** What rows belong to after an update; undefined when it leaves that alone, or frees them. */
export function movedKeys(dataSource: DataSource, { direct }: TouchRule, set: ObjectLiteral): Moved | undefined {
  const given = direct?.map((column) => column.getEntityValue(set) as unknown) ?? [];
  if (given.every((value) => value === undefined) || given.includes(null)) return undefined;
  const columns = columnsSql(dataSource, direct!, 'changed');
  const parameters: ObjectLiteral = {};
  const sql = given.map((value, i) => {
    if (value === undefined) return columns[i]!;
    if (typeof value === 'function') return `(${String((value as () => unknown)())})`;
    parameters[`spark_moved${i}`] = keyPart(
      dataSource,
      direct![i]!,
      dataSource.driver.preparePersistentValue(value, direct![i]!),
    );
    return `CAST(:spark_moved${i} AS ${TEXT[dataSource.options.type] ?? 'text'})`;
  });
  const [only] = given;
  const isKnown = given.length === 1 && typeof only !== 'function';
  return { key: isKnown ? (parameters.spark_moved0 as string) : undefined, sql, parameters };
}

const TEXT: Record<string, string> = { mysql: 'CHAR', mariadb: 'CHAR' };
