import { EntitySchema, type EntityTarget, type ObjectLiteral } from 'typeorm';

/** What an entity is called in messages, whatever was given for it. */
export function entityName(entity: EntityTarget<ObjectLiteral> | undefined): string {
  if (entity === undefined) return 'undefined (a circular import?)';
  if (typeof entity === 'function') return entity.name;
  return entity instanceof EntitySchema ? entity.options.name : JSON.stringify(entity);
}
