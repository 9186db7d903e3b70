import { EntitySchema, type EntityTarget, type ObjectLiteral } from 'typeorm';

/** The name of an entity in messages, for any kind of entity target. */
export function entityName(entity: EntityTarget<ObjectLiteral> | undefined): string {
  if (entity === undefined) return 'undefined (a circular import?)';
  if (typeof entity === 'function') return entity.name;
  return entity instanceof EntitySchema ? entity.options.name : JSON.stringify(entity);
}
