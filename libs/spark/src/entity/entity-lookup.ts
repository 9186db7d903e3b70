import type { DataSource, EntityMetadata } from 'typeorm';
import type { EmbeddedMetadata } from 'typeorm/metadata/EmbeddedMetadata.js';
import type { ClassRef, EntityLookup } from '../event/entity-lookup.js';
import { namesOf, rootOf, tableOf } from './entity-table.js';
import { isExact, keyOf } from './subject-ref.js';

/** Finds the entities of a DataSource by class and by table, for contexts that refer to them. */
export class DataSourceEntities implements EntityLookup {
  private readonly byClass: ReadonlyMap<unknown, EntityMetadata>;
  private readonly byName: ReadonlyMap<string, readonly EntityMetadata[]>;
  /** The root of each table, by each name that rows of Spark's tables may have for it. */
  private readonly roots: ReadonlyMap<string, EntityMetadata>;
  /** The classes of embedded parts. */
  private readonly parts: ReadonlyMap<string, readonly object[]>;

  constructor(private readonly dataSource: DataSource) {
    const entities = dataSource.entityMetadatas.filter(({ isJunction }) => !isJunction);
    this.byClass = new Map(entities.map((metadata) => [metadata.target, metadata]));
    this.byName = byName(entities);
    const roots = new Set(entities.map(rootOf));
    this.roots = new Map([...roots].flatMap((root) => namesOf(root).map((name) => [name, root] as const)));
    this.parts = byName([...new Set(entities.flatMap(({ embeddeds }) => embeddeds.flatMap(partClasses)))]);
  }

  /** The entity with this name in rows of Spark's tables: the name of its table or, in rows of the first release, of a class. */
  rootNamed(text: string): EntityMetadata | undefined {
    return this.roots.get(text);
  }

  /** The entity of a class that a context names. If the table no longer has a class of that name, the table alone decides. */
  named({ entity, table }: ClassRef): EntityMetadata | undefined {
    const namesakes = this.byName.get(entity) ?? [];
    if (table === undefined) return namesakes.length === 1 ? namesakes[0] : undefined;
    const root = this.roots.get(table);
    return namesakes.find((metadata) => rootOf(metadata) === root) ?? root;
  }

  /** Whether there is such an entity class, or class of an embedded part. */
  isKnown(type: ClassRef): boolean {
    return this.named(type) !== undefined || (type.table === undefined && this.parts.has(type.entity));
  }

  classOf(value: object): ClassRef | undefined {
    const metadata = this.byClass.get(value.constructor);
    if (metadata) return { entity: metadata.name, table: tableOf(rootOf(metadata)) };
    const type: unknown = value.constructor;
    if (typeof type !== 'function') return undefined;
    const { name } = type;
    const namesakes = this.parts.get(name);
    if (!namesakes?.includes(type)) return undefined;
    if (namesakes.length > 1 || this.byName.has(name))
      throw new Error(
        `more than one class has the name ${name}, and one of them is an embedded part; rename one of them`,
      );
    return { entity: name };
  }

  idOf(value: object): string | undefined {
    const metadata = this.byClass.get(value.constructor);
    if (metadata && !isExact(metadata, value))
      throw new Error(`its id is a number beyond ${Number.MAX_SAFE_INTEGER}, which JavaScript does not hold exactly`);
    return metadata && keyOf(this.dataSource, metadata, value);
  }

  create(type: ClassRef, values: object): object {
    const metadata = this.named(type);
    if (metadata) return Object.assign(metadata.create(), values);
    const [part] = this.parts.get(type.entity) ?? [];
    if (!part) throw new Error(`there is no entity ${type.entity} in this DataSource`);
    return Object.assign(Object.create((part as { prototype: object }).prototype) as object, values);
  }
}

function byName<T extends object>(named: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of named) {
    const { name } = one as { name: string };
    groups.set(name, [...(groups.get(name) ?? []), one]);
  }
  return groups;
}

/** The classes of the embedded parts of an entity. */
function partClasses({ type, embeddeds }: EmbeddedMetadata): object[] {
  const deeper = embeddeds.flatMap(partClasses);
  return typeof type === 'function' && type !== Object ? [type, ...deeper] : deeper;
}
