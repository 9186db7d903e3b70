import type { EntityManager, ObjectLiteral } from 'typeorm';
import { RawSqlResultsToEntityTransformer } from 'typeorm/query-builder/transformer/RawSqlResultsToEntityTransformer.js';
import type { Dialect, RowsByKey } from '../database/dialect.js';
import { chunks } from '../database/statement.js';
import type { EntityQuery } from './entity-query.js';
import { columnsSql, KEYS } from './key-sql.js';
import { readKey } from './subject-ref.js';
import { ALIAS, narrowed, readSubjects, restrict, type Subject, subjectsOf } from './subjects.js';

/** The statement that reads the rows of a source, built once. */
interface Reading extends RowsByKey {
  readonly entitiesOf: (rows: ObjectLiteral[]) => ObjectLiteral[];
}

/**
 * Reads the rows that a transaction has written, as it will commit them: with the changes of triggers, defaults and other
 * transactions. TypeORM's query builder takes longer than the database, so most statements are built only once.
 */
export class WrittenRows {
  private readonly readings = new WeakMap<EntityQuery, Reading | null>();

  constructor(private readonly dialect: Dialect) {}

  /** Reads those of the rows that the source is about, by their keys. `isNew` means that the transaction has inserted all of them. */
  async read(manager: EntityManager, source: EntityQuery, ids: readonly string[], isNew: boolean): Promise<Subject[]> {
    const reading = this.readingOf(manager, source);
    if (!reading) return readSubjects(manager, source, ids, !isNew && this.dialect.readsMayBeStale);
    const { metadata } = source;
    const subjects: Subject[] = [];
    for (const part of chunks(ids, KEYS)) {
      const keys = part.map((id) => readKey(manager.dataSource, metadata, id)[0]!);
      const rows = await this.dialect.rowsByKey(manager, reading, keys, isNew);
      subjects.push(...subjectsOf(manager, metadata, reading.entitiesOf(rows)));
    }
    return subjects;
  }

  private readingOf(manager: EntityManager, source: EntityQuery): Reading | null {
    let reading = this.readings.get(source);
    if (reading === undefined) this.readings.set(source, (reading = readingOf(manager, source)));
    return reading;
  }
}

const CONDITION = '/* by key */';

/** Null where a statement depends on more than the keys, or where TypeORM needs the transaction's runner to make entities. */
function readingOf(manager: EntityManager, source: EntityQuery): Reading | null {
  const { primaryColumns, relationIds, lazyRelations } = source.metadata;
  if (source.options.where || primaryColumns.length > 1 || relationIds.length + lazyRelations.length > 0) return null;
  const qb = narrowed(manager, source, true).useIndex('PRIMARY');
  const { expressionMap, dataSource } = qb;
  if (expressionMap.joinAttributes.length > 0 || Object.keys(qb.getParameters()).length > 0) return null;
  restrict(qb, CONDITION);
  const sql = qb.getQuery();
  const [column] = columnsSql(dataSource, primaryColumns, ALIAS);
  const transformer = new RawSqlResultsToEntityTransformer(expressionMap, dataSource.driver, []);
  // There are few conditions, because dialects pass a list of keys as one parameter.
  const texts = new Map<string, string>();
  return {
    column: column!,
    sql: (condition) => {
      let text = texts.get(condition);
      if (!text) texts.set(condition, (text = sql.replace(CONDITION, () => condition)));
      return text;
    },
    entitiesOf: (rows) => transformer.transform(rows, expressionMap.mainAlias!) as ObjectLiteral[],
  };
}
