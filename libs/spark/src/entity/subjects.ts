import type { EntityManager, EntityMetadata, ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { chunks } from '../database/statement.js';
import type { EntityQuery } from './entity-query.js';
import { instancesOf } from './instances.js';
import { columnsSql, KEYS, keysIn, keySql } from './key-sql.js';
import { rootOf } from './entity-table.js';
import { keyOf, readKey, sameKey, type SubjectRef } from './subject-ref.js';

/** An entity that events are derived from, as it was read from its row. */
export interface Subject {
  readonly ref: SubjectRef;
  readonly entity: ObjectLiteral;
}

/** How the entities of a source are read. Live capture, rechecks, sweeps and deliveries read them in the same way. */
type Reading = Pick<EntityQuery, 'metadata'> & Omit<EntityQuery['options'], 'query'>;

export const ALIAS = 'subject';

/**
 * Reads the entities of a source by their keys. It leaves out entities that are gone, or that the source is not about. With `lock`,
 * it locks them, one statement for each: a statement for more of them could lock every row that it passes.
 */
export async function readSubjects(
  manager: EntityManager,
  source: EntityQuery,
  ids: readonly string[],
  lock = false,
): Promise<Subject[]> {
  const { metadata } = source;
  const build = () => {
    const qb = narrowed(manager, source, true);
    return lock ? qb.setLock('pessimistic_read') : qb;
  };
  return subjectsOf(manager, metadata, await readByKey(manager, build, metadata, ids, lock ? 1 : KEYS));
}

/** Reads entities by their keys, whether or not a source is about them. Returns them by key. */
export async function readEntities(
  manager: EntityManager,
  reading: Reading,
  ids: readonly string[],
): Promise<Map<string, ObjectLiteral>> {
  const { metadata } = reading;
  const entities = await readByKey(manager, () => query(manager, reading), metadata, ids);
  return new Map(entities.map((entity) => [entityKey(manager, metadata, entity), entity]));
}

/**
 * Reads entities by their keys, whether or not a source is about them. Returns lists of instances by key. The instances of a list
 * share nothing.
 *
 * @param wanted how many instances of each key are wanted; a list may be shorter, but has at least one instance if the row exists
 */
export async function readInstances(
  manager: EntityManager,
  reading: Reading,
  wanted: ReadonlyMap<string, number>,
): Promise<Map<string, ObjectLiteral[]>> {
  const { metadata } = reading;
  const idOf = (entity: ObjectLiteral) => entityKey(manager, metadata, entity);
  const instances = new Map<string, ObjectLiteral[]>();
  for (const part of chunks([...wanted.keys()], KEYS)) {
    const qb = query(manager, reading);
    restrict(qb, keysIn(qb, ALIAS, metadata, part));
    const isShared = part.some((id) => wanted.get(id)! > 1);
    const found = isShared
      ? await instancesOf(manager, qb, (entity) => wanted.get(idOf(entity)) ?? 1)
      : (await qb.getMany()).map((entity) => [entity]);
    for (const some of found) instances.set(idOf(some[0]!), some);
  }
  return instances;
}

/** The keys of the rows that have the same values in `columns` as one of the given rows. It skips given rows that lack a value. */
export async function readKeysBy(
  manager: EntityManager,
  metadata: EntityMetadata,
  columns: readonly ColumnMetadata[],
  rows: readonly ObjectLiteral[],
): Promise<string[]> {
  const { driver } = manager.dataSource;
  const tuples = rows
    .map((row) => columns.map((column) => column.getEntityValue(row) as unknown))
    .filter((tuple) => tuple.every((value) => value !== undefined && value !== null && typeof value !== 'function'));
  const keys: string[] = [];
  for (const part of chunks(tuples, KEYS / 5)) {
    const qb = query(manager, { metadata, withDeleted: true }, false);
    const names = columnsSql(qb.dataSource, columns, ALIAS);
    const conditions = part.map((tuple, r) => {
      tuple.forEach((value, c) =>
        qb.setParameter(`spark_u${r}_${c}`, driver.preparePersistentValue(value, columns[c]!)),
      );
      return `(${names.map((name, c) => `${name} = :spark_u${r}_${c}`).join(' AND ')})`;
    });
    const key = keySql(qb.dataSource, columnsSql(qb.dataSource, metadata.primaryColumns, ALIAS));
    const found = await qb.select(key, 'spark_key').where(conditions.join(' OR ')).getRawMany<{ spark_key: string }>();
    keys.push(...found.map((row) => sameKey(metadata, row.spark_key)));
  }
  return keys;
}

/** The bounds of a page in the order of the primary key. */
export interface PageBounds {
  /** The key before the page. Undefined means from the start. */
  readonly after: string | undefined;
  /** The first key that the page may have. */
  readonly from?: string;
  /** The last key that the page may have. */
  readonly upTo?: string;
  /** The condition of rows that a sweep of changed rows reads. */
  readonly changed?: { readonly sql: string; readonly parameters: ObjectLiteral };
  readonly limit: number;
}

/** The key that is so many rows behind a key in the table of an entity; undefined if there are not so many. */
export async function keyBehind(
  manager: EntityManager,
  { metadata }: Pick<EntityQuery, 'metadata'>,
  after: string | undefined,
  rows: number,
): Promise<string | undefined> {
  const root = rootOf(metadata);
  const qb = query(manager, { metadata: root, withDeleted: true }, false);
  const key = keySql(qb.dataSource, columnsSql(qb.dataSource, root.primaryColumns, ALIAS));
  const found = bounded(qb.select(key, 'spark_key'), root, { after, limit: 1 }).offset(rows - 1);
  const [row] = await found.getRawMany<{ spark_key: string }>();
  return row && sameKey(root, row.spark_key);
}

/** The next keys of a source in the order of the primary key. Pages by key stay correct while rows are inserted and deleted. */
export async function pageOfKeys(manager: EntityManager, source: EntityQuery, bounds: PageBounds): Promise<string[]> {
  const qb = narrowed(manager, source, false);
  const columns = columnsSql(qb.dataSource, source.metadata.primaryColumns, ALIAS);
  qb.select(keySql(qb.dataSource, columns), 'spark_key');
  for (const column of columns) qb.addGroupBy(column);
  const rows = await bounded(qb, source.metadata, bounds).getRawMany<{ spark_key: string }>();
  return rows.map((row) => sameKey(source.metadata, row.spark_key));
}

/** The entities of a page, if one statement can read them; undefined if the source joins tables or has a `query`. */
export async function pageOfSubjects(
  manager: EntityManager,
  source: EntityQuery,
  bounds: PageBounds,
): Promise<Subject[] | undefined> {
  const { metadata, options } = source;
  if (options.query) return undefined;
  const qb = narrowed(manager, source, true);
  if (qb.expressionMap.joinAttributes.length > 0) return undefined;
  return subjectsOf(manager, metadata, await bounded(qb, metadata, bounds).getMany());
}

function bounded(
  qb: SelectQueryBuilder<ObjectLiteral>,
  metadata: EntityMetadata,
  { after, from, upTo, changed, limit }: PageBounds,
): SelectQueryBuilder<ObjectLiteral> {
  const columns = columnsSql(qb.dataSource, metadata.primaryColumns, ALIAS);
  // An order from the source's `query` would make pages overlap.
  qb.orderBy();
  for (const column of columns) qb.addOrderBy(column);
  const bound = (key: string, operator: string, name: string) => {
    const names = readKey(qb.dataSource, metadata, key).map((value, i) => {
      qb.setParameter(`spark_${name}${i}`, value);
      return `:spark_${name}${i}`;
    });
    return `(${columns.join(', ')}) ${operator} (${names.join(', ')})`;
  };
  const bounds = [
    ...(after === undefined ? [] : [bound(after, '>', 'after')]),
    ...(from === undefined ? [] : [bound(from, '>=', 'from')]),
    ...(upTo === undefined ? [] : [bound(upTo, '<=', 'upTo')]),
    ...(changed === undefined ? [] : [changed.sql]),
  ];
  if (changed) qb.setParameters(changed.parameters);
  if (bounds.length > 0) restrict(qb, bounds.join(' AND '));
  return qb.limit(limit);
}

async function readByKey(
  manager: EntityManager,
  build: () => SelectQueryBuilder<ObjectLiteral>,
  metadata: EntityMetadata,
  ids: readonly string[],
  atOnce = KEYS,
): Promise<ObjectLiteral[]> {
  const entities: ObjectLiteral[] = [];
  for (const part of chunks(ids, atOnce)) {
    const qb = build();
    restrict(qb, keysIn(qb, ALIAS, metadata, part));
    entities.push(...(await qb.getMany()));
  }
  return entities;
}

/** The query of a source's entities. `whole` says whether it reads their relations, too, or only their keys. */
export function narrowed(
  manager: EntityManager,
  { metadata, options }: EntityQuery,
  whole: boolean,
): SelectQueryBuilder<ObjectLiteral> {
  const { relations, where, withDeleted } = options;
  const qb = query(manager, { metadata, relations: whole ? relations : undefined, where, withDeleted }, whole);
  return options.query ? options.query(qb).cache(false) : qb;
}

function query(manager: EntityManager, { metadata, relations, where, withDeleted }: Reading, whole = true) {
  const qb = manager.createQueryBuilder<ObjectLiteral>(metadata.target, ALIAS, manager.queryRunner);
  // One call sets all options: a second call would join the relations of the first one again. The cache is off, because it may be stale.
  qb.setFindOptions({
    relations,
    where,
    withDeleted,
    loadEagerRelations: whole,
    relationLoadStrategy: 'join',
    cache: false,
  });
  // Hooks of the application must not run here: the transaction may belong to other code.
  qb.callListeners(false);
  if (whole) {
    for (const column of metadata.columns) if (!column.isSelect) qb.addSelect(`${ALIAS}.${column.propertyPath}`);
  }
  return qb;
}

// The conditions of a source's `where` and `query` may contain an OR. This one is added beside them in brackets of its own.
export function restrict(qb: SelectQueryBuilder<ObjectLiteral>, condition: string): void {
  qb.expressionMap.extraAppendedAndWhereCondition = condition;
}

/** Makes subjects of entities. */
export function subjectsOf(
  manager: EntityManager,
  metadata: EntityMetadata,
  entities: readonly ObjectLiteral[],
): Subject[] {
  const root = rootOf(metadata);
  return entities.map((entity) => ({ ref: { root, id: entityKey(manager, metadata, entity) }, entity }));
}

function entityKey({ dataSource }: EntityManager, metadata: EntityMetadata, entity: ObjectLiteral): string {
  return keyOf(dataSource, metadata, entity)!;
}

/** Throws InvalidOptionsError when TypeORM cannot build a query from the options of a source. */
export function checkReading(manager: EntityManager, source: EntityQuery & { readonly name: string }): void {
  try {
    narrowed(manager, source, true).getQuery();
  } catch (error) {
    const expected = `relations, where and query that fit ${source.metadata.name}: ${(error as Error).message}`;
    throw new InvalidOptionsError(`@EventSource of ${source.name}`, source.options, expected);
  }
}
