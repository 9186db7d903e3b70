import type { EntityMetadata, ObjectLiteral, UpdateEvent } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';

const WHOLE = new Set<unknown>([Number, 'int', 'integer', 'int2', 'int4', 'smallint', 'mediumint']);
const TEXT = new Set<unknown>([String, 'varchar', 'character varying', 'text']);
const TRUTH = new Set<unknown>([Boolean, 'boolean', 'bool']);

const copiable = new WeakMap<EntityMetadata, boolean>();

/**
 * A copy of a saved entity that is certainly what its row says, or undefined where only reading the row tells: dates,
 * decimals, transformers, defaults and what the database computes differ from the instance that was saved.
 */
export function rowCopy(metadata: EntityMetadata, entity: ObjectLiteral): ObjectLiteral | undefined {
  if (!isCopiable(metadata)) return undefined;
  const copy = metadata.create();
  for (const column of metadata.columns) {
    if (column.isVirtual && !column.isDiscriminator) continue;
    const value: unknown = column.isDiscriminator ? metadata.discriminatorValue : column.getEntityValue(entity);
    if (!isWhatRowSays(column, value)) return undefined;
    if (!column.isVirtual) column.setEntityValue(copy, value);
  }
  return copy;
}

/** Whether TypeORM has filled an updated entity in: it sets nullable columns to null that a partial save left out. */
export function isFilledIn(event: UpdateEvent<ObjectLiteral>): boolean {
  const { metadata, entity, databaseEntity, updatedColumns, updatedRelations } = event;
  const wasSet = (column: ColumnMetadata) =>
    updatedColumns.includes(column) || updatedRelations.some((relation) => relation === column.relationMetadata);
  return metadata.columns.some(
    (column) =>
      column.isNullable &&
      !column.isVirtual &&
      column.getEntityValue(entity!) === null &&
      column.getEntityValue(databaseEntity) !== null &&
      !wasSet(column),
  );
}

function isCopiable(metadata: EntityMetadata): boolean {
  let known = copiable.get(metadata);
  if (known === undefined) {
    known = metadata.columns.every(isPlain) && metadata.eagerRelations.length === 0 && metadata.tableType === 'regular';
    copiable.set(metadata, known);
  }
  return known;
}

function isPlain(column: ColumnMetadata): boolean {
  if (
    column.transformer ||
    column.default !== undefined ||
    column.isArray ||
    column.asExpression ||
    column.isVirtualProperty
  )
    return false;
  if (column.isVersion || column.isCreateDate || column.isUpdateDate || column.isDeleteDate) return false;
  if (column.relationMetadata && !column.isVirtual) return false;
  const { type } = column;
  return (
    column.isVirtual || WHOLE.has(type) || TEXT.has(type) || TRUTH.has(type) || (type === 'uuid' && column.isGenerated)
  );
}

function isWhatRowSays(column: ColumnMetadata, value: unknown): boolean {
  if (value === null) return column.isNullable;
  if (WHOLE.has(column.type)) return Number.isSafeInteger(value) && !Object.is(value, -0);
  if (TRUTH.has(column.type)) return typeof value === 'boolean';
  if (typeof value !== 'string' || /[\p{Surrogate}\0]/u.test(value)) return false;
  return column.length === '' || value.length <= Number(column.length);
}
