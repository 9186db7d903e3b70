import type { DataSource, EntityMetadata } from 'typeorm';
import type { EmbeddedMetadata } from 'typeorm/metadata/EmbeddedMetadata.js';
import type { EntityLookup } from '../event/entity-lookup.js';
import { isExact, keyOf } from './subject-ref.js';

/** The entities of a DataSource by their classes and names, for contexts that refer to them. */
export class DataSourceEntities implements EntityLookup {
  private readonly byClass: Map<unknown, EntityMetadata>;
  private readonly byName: Map<string, EntityMetadata>;
  private readonly embedded: Map<unknown, string>;
  /** Names that more than one entity has: what is stored by them could be read as another one. */
  private readonly ambiguous: ReadonlySet<string>;

  constructor(private readonly dataSource: DataSource) {
    const entities = dataSource.entityMetadatas.filter(({ isJunction }) => !isJunction);
    this.byClass = new Map(entities.map((metadata) => [metadata.target, metadata]));
    const names = entities.map(({ name }) => name);
    this.ambiguous = new Set(names.filter((name, i) => names.indexOf(name) !== i));
    this.byName = new Map(entities.map((metadata) => [metadata.name, metadata]));
    this.embedded = new Map(entities.flatMap(({ embeddeds }) => embeddeds.flatMap(partClasses)));
  }

  named(name: string): EntityMetadata | undefined {
    return this.byName.get(name);
  }

  /** Whether there is an entity class, or the class of an embedded part, of that name. */
  isKnown(name: string): boolean {
    return this.byName.has(name) || [...this.embedded.values()].includes(name);
  }

  nameOf(value: object): string | undefined {
    const name = this.byClass.get(value.constructor)?.name;
    if (name !== undefined && this.ambiguous.has(name))
      throw new Error(`more than one entity is called ${name}; rename one of the classes`);
    return name ?? this.embedded.get(value.constructor);
  }

  idOf(value: object): string | undefined {
    const metadata = this.byClass.get(value.constructor);
    if (metadata && !isExact(metadata, value))
      throw new Error(`its id is a number beyond ${Number.MAX_SAFE_INTEGER}, which JavaScript does not hold exactly`);
    return metadata && keyOf(this.dataSource, metadata, value);
  }

  create(name: string, values: object): object {
    const metadata = this.byName.get(name);
    if (metadata) return Object.assign(metadata.create(), values);
    for (const [type, known] of this.embedded) {
      if (known === name)
        return Object.assign(Object.create((type as { prototype: object }).prototype) as object, values);
    }
    throw new Error(`there is no entity ${name} in this DataSource`);
  }
}

/** The classes of the embedded parts of an entity, and their names. */
function partClasses({ type, embeddeds }: EmbeddedMetadata): [unknown, string][] {
  const deeper = embeddeds.flatMap(partClasses);
  return typeof type === 'function' && type !== Object ? [[type, type.name], ...deeper] : deeper;
}
