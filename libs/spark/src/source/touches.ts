import type { DataSource, EntityManager, EntityMetadata, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { RelationMetadata } from 'typeorm/metadata/RelationMetadata.js';
import type { Source } from './source.js';
import { chunks } from '../database/statement.js';
import { columnsSql, KEYS, keysIn, keySql } from '../entity/key-sql.js';
import { rootOf } from '../entity/entity-table.js';
import { type KeyColumns, sameKey, writeKey } from '../entity/subject-ref.js';

/**
 * A rule by which a change of one entity touches others, because a source reads them together. The path of relations leads from the
 * entity of the source to the changed entity. An empty path means that the changed row holds the id of the source's entity.
 */
export interface TouchRule {
  readonly root: EntityMetadata;
  readonly source: Source;
  readonly path: readonly RelationMetadata[];
  /** The entity, or the junction table of a many-to-many relation, whose changes the rule is about. */
  readonly changed: EntityMetadata;
  /** The columns of the changed row that hold the key of the touched entity, if a single step leads to it. */
  readonly direct: readonly ColumnMetadata[] | undefined;
  /** The columns of the changed row that identify it for this rule, if a junction table refers to other columns than the primary key. */
  readonly by?: ColumnMetadata[];
  /** The rule that continues from the key in `direct`, if that is not yet the key of the touched entity. */
  readonly through?: TouchRule;
}

/** The touch rules of a source's relations. */
export function touchRules(source: Source): TouchRule[] {
  const rules: TouchRule[] = [];
  walk(source, source.metadata, source.options.relations ?? {}, [], rules);
  return rules;
}

/**
 * The keys of the entities that changed rows touch, as the transaction sees them. With `lock`, it locks rows that hold the key
 * themselves, so that the key cannot change before the transaction changes the row.
 */
export async function touchedKeys(
  manager: EntityManager,
  rule: TouchRule,
  ids: readonly string[],
  lock = false,
): Promise<string[]> {
  const keys = new Set<string>();
  for (const part of chunks(ids, KEYS)) {
    const qb = touchQuery(manager, rule);
    if (lock && rule.direct) qb.distinct(false).setLock('pessimistic_write');
    const rows = await qb.andWhere(keysIn(qb, 'changed', keyGiven(rule), part)).getRawMany<{ spark_key: string }>();
    for (const row of rows) keys.add(sameKey(keyHolder(rule), row.spark_key));
  }
  return rule.through ? touchedKeys(manager, rule.through, [...keys]) : [...keys];
}

/**
 * A query of the keys (as `spark_key`) of the entities that rows of the alias `changed` touch.
 *
 * @param moved expressions for the key, in place of the columns that hold it
 */
export function touchQuery(
  manager: EntityManager,
  { path, changed, direct, source }: TouchRule,
  moved?: readonly string[],
) {
  const { dataSource, queryRunner } = manager;
  if (direct) {
    const qb = manager
      .createQueryBuilder<ObjectLiteral>(changed.target, 'changed', queryRunner)
      .withDeleted()
      .cache(false);
    const keys = moved ?? columnsSql(dataSource, direct, 'changed');
    return qb
      .select(keySql(dataSource, keys), 'spark_key')
      .distinct()
      .andWhere(keys.map((key) => `${key} IS NOT NULL`).join(' AND '));
  }
  const qb = manager
    .createQueryBuilder<ObjectLiteral>(source.metadata.target, 'root', queryRunner)
    .withDeleted()
    .cache(false);
  const aliases = ['root', ...path.slice(1).map((_, i) => `step${i}`), 'changed'];
  path.forEach(({ propertyPath }, i) => qb.innerJoin(`${aliases[i]!}.${propertyPath}`, aliases[i + 1]!));
  return qb
    .select(keySql(dataSource, columnsSql(dataSource, source.metadata.primaryColumns, 'root')), 'spark_key')
    .distinct();
}

/** The key that the changed entity itself holds: text, null if it belongs to no entity, undefined if it does not hold the key. */
export function heldKey(
  dataSource: DataSource,
  rule: TouchRule,
  entity: ObjectLiteral | undefined,
): string | null | undefined {
  if (!rule.direct || !entity) return undefined;
  // A junction's columns refer to the keys of both sides. Their values are plain properties of the row.
  const values = rule.direct.map(
    (column) => (rule.changed.isJunction ? entity[column.propertyName] : column.getEntityValue(entity)) as unknown,
  );
  if (values.includes(undefined)) return undefined;
  if (values.includes(null)) return null;
  return writeKey(
    dataSource,
    keyHolder(rule),
    values.map((value, i) => dataSource.driver.preparePersistentValue(value, rule.direct![i]!) as unknown),
  );
}

/** The columns of the key that a rule leads to: of the touched entity, or of the row where the next rule continues. */
function keyHolder({ source, through }: TouchRule): KeyColumns {
  return through ? keyGiven(through) : source.metadata;
}

/** The columns of the keys that a rule starts from. */
const keyGiven = ({ by, changed }: TouchRule): KeyColumns => (by ? { primaryColumns: by } : changed);

function walk(source: Source, from: EntityMetadata, given: object, path: RelationMetadata[], rules: TouchRule[]): void {
  const relations = new Map(relationsIn(from, given));
  // TypeORM joins eager relations at every step. It would join two entities with eager relations to each other for ever.
  const visited = [source.metadata, ...path.map((relation) => relation.inverseEntityMetadata)];
  for (const relation of from.eagerRelations)
    if (!relations.has(relation) && !visited.includes(relation.inverseEntityMetadata)) relations.set(relation, {});
  for (const [relation, deeper] of relations) {
    const steps = [...path, relation];
    const root = rootOf(source.metadata);
    const changed = relation.inverseEntityMetadata;
    rules.push({ root, source, path: steps, changed, direct: directColumns(source, steps) });
    if (relation.isManyToMany) rules.push(junctionRule(source, path, relation));
    walk(source, changed, deeper, steps, rules);
  }
}

/** The relations that find options name, also within embedded classes, and the options below each of them. */
function* relationsIn(from: EntityMetadata, given: object, prefix = ''): Iterable<[RelationMetadata, object]> {
  for (const [name, deeper] of Object.entries(given) as [string, unknown][]) {
    const path = prefix + name;
    const further = typeof deeper === 'object' && deeper !== null ? deeper : {};
    const relation = deeper ? from.findRelationWithPropertyPath(path) : undefined;
    if (relation) yield [relation, further];
    else if (deeper) yield* relationsIn(from, further, `${path}.`);
  }
}

/** The rule of a junction table. Its rows hold the keys of both sides: the near side is the touched entity, or leads to it. */
function junctionRule(source: Source, path: RelationMetadata[], relation: RelationMetadata): TouchRule {
  const changed = relation.junctionEntityMetadata!;
  const direct = relation.isOwning ? changed.ownerColumns : changed.inverseColumns;
  const root = rootOf(source.metadata);
  const near = relation.entityMetadata;
  const by = direct.map(({ referencedColumn }) => referencedColumn!);
  const isKey = sameColumns(by, near.primaryColumns);
  if (isKey && path.length === 0) return { root, source, path, changed, direct };
  const own = path.length === 0 ? [...near.primaryColumns] : directColumns(source, path);
  const through = { root, source, path, changed: near, direct: own, by: isKey ? undefined : by };
  return { root, source, path, changed, direct, through };
}

function sameColumns(some: readonly ColumnMetadata[], others: readonly ColumnMetadata[]): boolean {
  return some.length === others.length && some.every((one, i) => one.databaseName === others[i]!.databaseName);
}

function directColumns(source: Source, path: RelationMetadata[]): ColumnMetadata[] | undefined {
  const [relation] = path;
  if (path.length > 1 || !relation || !(relation.isOneToMany || relation.isOneToOneNotOwner)) return undefined;
  const joins = relation.inverseRelation?.joinColumns ?? [];
  const columns = source.metadata.primaryColumns.map((key) =>
    joins.find(({ referencedColumn }) => referencedColumn?.databaseName === key.databaseName),
  );
  return columns.every((column) => column !== undefined) ? columns : undefined;
}
