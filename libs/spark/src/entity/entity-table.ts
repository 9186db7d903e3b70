import type { EntityMetadata } from 'typeorm';
import { placeOf } from '../database/traits.js';

const tables = new WeakMap<EntityMetadata, string>();
const roots = new WeakMap<EntityMetadata, EntityMetadata>();
const names = new WeakMap<EntityMetadata, readonly string[]>();

/**
 * The name of an entity in Spark's tables: the name of its table, so that a class may be renamed. If the schema (PostgreSQL) or the
 * database (MariaDB, SQLite) is not that of the DataSource, it stands before the name.
 */
export function tableOf(metadata: EntityMetadata): string {
  return remembered(tables, metadata, () => {
    const place = placeOf(metadata);
    return place === undefined ? metadata.tableName : `${place}.${metadata.tableName}`;
  });
}

/**
 * The root: the entity that stands for all classes of a table. With single-table inheritance, it is the topmost class. If several
 * classes map the table with the same key, it is one of them.
 */
export function rootOf(metadata: EntityMetadata): EntityMetadata {
  return remembered(roots, metadata, () => {
    const own = topOf(metadata);
    return classesOf(own).find((other) => topOf(other) === other && hasSameKey(other, own)) ?? own;
  });
}

/**
 * All names that an entity may have in rows of Spark's tables: the name of its table, and those of its classes, which the first
 * release wrote. The name of a class counts only if no other table and no class of another table has it.
 */
export function namesOf(root: EntityMetadata): readonly string[] {
  return remembered(names, root, () => {
    const others = root.dataSource.entityMetadatas.filter((other) => rootOf(other) !== root);
    const taken = new Set(others.flatMap((other) => [tableOf(other), other.name]));
    const classes = root.dataSource.entityMetadatas.filter((other) => rootOf(other) === root);
    return [...new Set([tableOf(root), ...classes.map(({ name }) => name).filter((name) => !taken.has(name))])];
  });
}

/** Other classes of an entity's table with other primary keys. The sources of the entity miss what is saved through them. */
export function otherKeysOf(metadata: EntityMetadata): EntityMetadata[] {
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
