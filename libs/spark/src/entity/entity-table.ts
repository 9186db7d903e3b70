import type { EntityMetadata } from 'typeorm';
import { placeOf } from '../database/traits.js';

const tables = new WeakMap<EntityMetadata, string>();
const roots = new WeakMap<EntityMetadata, EntityMetadata>();
const names = new WeakMap<EntityMetadata, readonly string[]>();

/**
 * What Spark's tables call an entity: its table, so that a class may be renamed. The schema (PostgreSQL) or database (MariaDB,
 * SQLite) stands before it where it is not the DataSource's own.
 */
export function tableOf(metadata: EntityMetadata): string {
  return remembered(tables, metadata, () => {
    const place = placeOf(metadata);
    return place === undefined ? metadata.tableName : `${place}.${metadata.tableName}`;
  });
}

/**
 * The entity that stands for all classes of a table: with single-table inheritance the topmost, and one of those that say the same
 * key where several classes map the table.
 */
export function rootOf(metadata: EntityMetadata): EntityMetadata {
  return remembered(roots, metadata, () => {
    const own = topOf(metadata);
    return classesOf(own).find((other) => topOf(other) === other && hasSameKey(other, own)) ?? own;
  });
}

/**
 * All texts by which rows of Spark's tables may call an entity: its table, and the names of its classes. The first release wrote
 * these; they count where no other table and no class of another table has that name.
 */
export function namesOf(root: EntityMetadata): readonly string[] {
  return remembered(names, root, () => {
    const others = root.dataSource.entityMetadatas.filter((other) => rootOf(other) !== root);
    const taken = new Set(others.flatMap((other) => [tableOf(other), other.name]));
    const classes = root.dataSource.entityMetadatas.filter((other) => rootOf(other) === root);
    return [...new Set([tableOf(root), ...classes.map(({ name }) => name).filter((name) => !taken.has(name))])];
  });
}

/** Other classes of an entity's table whose keys are not the same: what these save, its sources do not see. */
export function strangersOf(metadata: EntityMetadata): EntityMetadata[] {
  return classesOf(metadata).filter((other) => !other.isJunction && rootOf(other) !== rootOf(metadata));
}

function topOf(metadata: EntityMetadata): EntityMetadata {
  return metadata.tableType === 'entity-child' ? metadata.parentEntityMetadata : metadata;
}

function classesOf(metadata: EntityMetadata): EntityMetadata[] {
  return metadata.dataSource.entityMetadatas.filter((other) => tableOf(other) === tableOf(metadata));
}

function hasSameKey(one: EntityMetadata, other: EntityMetadata): boolean {
  return keyText(one) === keyText(other);
}

function keyText({ dataSource, primaryColumns }: EntityMetadata): string {
  const { driver } = dataSource;
  return JSON.stringify(primaryColumns.map((column) => [column.databaseName, driver.normalizeType(column)]));
}

function remembered<V>(known: WeakMap<EntityMetadata, V>, metadata: EntityMetadata, find: () => V): V {
  let value = known.get(metadata);
  if (value === undefined) known.set(metadata, (value = find()));
  return value;
}
