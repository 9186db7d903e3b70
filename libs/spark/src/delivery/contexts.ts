import type { EntityManager, FindOptionsRelations, ObjectLiteral } from 'typeorm';
import type { ContextCodec } from '../event/context-codec.js';
import type { EntityRef } from '../event/entity-lookup.js';
import { cloneOf } from '../event/snapshot.js';
import type { SourceRegistry } from '../source/source.registry.js';
import type { DataSourceEntities } from '../subject/entity-lookup.js';
import { readEntities } from '../subject/subjects.js';
import { rootOf } from '../subject/subject-ref.js';
import type { Delivery } from './deliveries.js';

/** A context as a handler gets it, and the references in it whose rows are gone. */
export interface ReadContext {
  readonly context: unknown;
  readonly missing: readonly EntityRef[];
}

const NOTHING: ReadContext = { context: undefined, missing: [] };

interface Need extends EntityRef {
  readonly relations?: FindOptionsRelations<ObjectLiteral>;
  readonly withDeleted?: boolean;
}

/** The context of a delivery that was read with it. */
export type ContextOf = (delivery: Delivery) => ReadContext;

/** Gives contexts back: entities in them are read again, all of one kind at once, with the relations of the event's source. */
export class Contexts {
  constructor(
    private readonly codec: ContextCodec,
    private readonly entities: DataSourceEntities,
    private readonly sources: SourceRegistry,
  ) {}

  async read(manager: EntityManager, deliveries: readonly Delivery[]): Promise<ContextOf> {
    const needs = new Map<string, Map<string, Need>>();
    for (const delivery of deliveries) {
      for (const need of this.needsOf(delivery)) {
        const kind = kindOf(need);
        if (!needs.has(kind)) needs.set(kind, new Map());
        needs.get(kind)!.set(need.id, need);
      }
    }
    const found = new Map<string, Map<string, ObjectLiteral>>();
    for (const [kind, refs] of needs) found.set(kind, await this.readKind(manager, [...refs.values()]));
    return (delivery) => this.decode(delivery, (need) => found.get(kindOf(need))?.get(need.id) ?? null);
  }

  private decode(delivery: Delivery, find: (need: Need) => object | null): ReadContext {
    if (delivery.event.context === null) return NOTHING;
    const missing: EntityRef[] = [];
    const own = new Map<object, object>();
    const context = this.codec.decode(delivery.event.context, (ref) => {
      const entity = find(this.needOf(delivery, ref));
      if (!entity) missing.push(ref);
      // One handler's changes to an entity are not another one's.
      if (entity && !own.has(entity)) own.set(entity, cloneOf(entity));
      return entity && own.get(entity)!;
    });
    return { context, missing };
  }

  private needsOf(delivery: Delivery): readonly Need[] {
    if (delivery.event.context === null) return [];
    try {
      return this.codec.references(delivery.event.context).map((ref) => this.needOf(delivery, ref));
    } catch {
      // A context that cannot be read fails by itself when it is decoded, not its neighbours.
      return [];
    }
  }

  private needOf({ event }: Delivery, ref: EntityRef): Need {
    const source = event.source === null ? undefined : this.sources.named(event.source);
    const metadata = this.entities.named(ref.entity);
    if (!source || !metadata || rootOf(source.metadata) !== rootOf(metadata)) return ref;
    return { ...ref, relations: source.options.relations, withDeleted: source.options.withDeleted };
  }

  private async readKind(manager: EntityManager, needs: readonly Need[]): Promise<Map<string, ObjectLiteral>> {
    const { entity, relations, withDeleted } = needs[0]!;
    const metadata = this.entities.named(entity);
    if (!metadata) return new Map();
    return readEntities(
      manager,
      { metadata, relations, withDeleted },
      needs.map(({ id }) => id),
    );
  }
}

const kindOf = ({ entity, relations, withDeleted }: Need): string => JSON.stringify([entity, relations, withDeleted]);
