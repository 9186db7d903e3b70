import type { DataSource, EntityMetadata } from 'typeorm';
import type { EntityLookup } from '../event/entity-lookup.js';
import { keyOf } from './subject-ref.js';

/** The entities of a DataSource by their classes and names, for contexts that refer to them. */
export class DataSourceEntities implements EntityLookup {
  private readonly byClass: Map<unknown, EntityMetadata>;
  private readonly byName: Map<string, EntityMetadata>;

  constructor(private readonly dataSource: DataSource) {
    const entities = dataSource.entityMetadatas.filter(({ isJunction }) => !isJunction);
    this.byClass = new Map(entities.map((metadata) => [metadata.target, metadata]));
    this.byName = new Map(entities.map((metadata) => [metadata.name, metadata]));
  }

  named(name: string): EntityMetadata | undefined {
    return this.byName.get(name);
  }

  nameOf(value: object): string | undefined {
    return this.byClass.get(value.constructor)?.name;
  }

  idOf(value: object): string | undefined {
    return keyOf(this.dataSource, this.byClass.get(value.constructor)!, value);
  }

  create(name: string, values: object): object {
    const metadata = this.byName.get(name);
    if (!metadata) throw new Error(`there is no entity ${name} in this DataSource`);
    return Object.assign(metadata.create(), values);
  }
}
