import type { EntityMetadata, FindOptionsRelations, ObjectLiteral } from 'typeorm';
import type { EntityRef } from '../event/entity-lookup.js';
import type { DataSourceEntities } from '../entity/entity-lookup.js';
import { refuseHidden } from '../entity/row-security.js';
import { readInstances } from '../entity/subjects.js';
import type { SureReads } from './sure-reads.js';
import { DatabaseAway } from './undecided.js';

/** An entity that a context refers to, and how it is read. */
export interface Need extends EntityRef {
  readonly relations?: FindOptionsRelations<ObjectLiteral>;
  readonly withDeleted?: boolean;
}

/** The result of reading an entity: the entity, null if its row is gone, or the error. */
export type Read = { readonly entity: ObjectLiteral | null } | { readonly error: unknown };

/** An entity, and how many contexts still lack an instance of it. */
interface Wanted {
  readonly need: Need;
  takers: number;
}

/** The entities that are read together, by their ids. */
interface Kind {
  readonly wanted: Map<string, Wanted>;
  reading?: Promise<void>;
}

/** Reads the entities of many contexts, with one read for each kind. Each context gets its own instance. */
export class EntityReads {
  private readonly kinds = new Map<string, Kind>();
  private readonly read = new Map<string, Read[]>();

  constructor(
    private readonly reads: SureReads,
    private readonly entities: DataSourceEntities,
  ) {}

  /** Adds an entity that one more context needs. */
  want(need: Need): void {
    const kind = kindOf(need);
    const { wanted } = this.kinds.get(kind) ?? { wanted: new Map<string, Wanted>() };
    if (!this.kinds.has(kind)) this.kinds.set(kind, { wanted });
    const known = wanted.get(need.id);
    if (known) known.takers++;
    else wanted.set(need.id, { need, takers: 1 });
  }

  /**
   * Reads what one context needs, one kind after the other. Call it when `want` was called for all contexts. A kind that several
   * contexts need is read once. A kind whose table is locked delays only the contexts that need it.
   *
   * @throws DatabaseAway
   */
  async run(needs: readonly Need[]): Promise<void> {
    for (const name of new Set(needs.map(kindOf))) {
      const kind = this.kinds.get(name)!;
      await (kind.reading ??= this.runKind(name, [...kind.wanted.values()]));
    }
  }

  /** Reads as many instances of each entity as there are contexts, so that no handler sees what another one changed. */
  private async runKind(kind: string, wanted: readonly Wanted[]): Promise<void> {
    for (let left = wanted; left.length > 0; left = left.filter((one) => one.takers > 0)) {
      const found = await this.apart(left);
      for (const one of left) {
        const reads = found.get(one.need.id)!;
        const isThere = 'entity' in reads[0]! && reads[0].entity !== null;
        one.takers = isThere ? one.takers - reads.length : 0;
        const place = `${kind} ${one.need.id}`;
        this.read.set(place, [...(this.read.get(place) ?? []), ...reads]);
      }
    }
  }

  /** Returns the result of reading an entity, for one context. */
  take(need: Need): Read {
    const reads = this.read.get(`${kindOf(need)} ${need.id}`)!;
    return reads.length > 1 ? reads.pop()! : reads[0]!;
  }

  // If the read fails, it is repeated in halves, so that one entity that cannot be read does not affect the others.
  private async apart(all: readonly Wanted[]): Promise<Map<string, Read[]>> {
    try {
      return await this.together(all);
    } catch (error) {
      if (error instanceof DatabaseAway) throw error;
      if (all.length === 1) return new Map([[all[0]!.need.id, [{ error }]]]);
    }
    const half = Math.ceil(all.length / 2);
    return new Map([...(await this.apart(all.slice(0, half))), ...(await this.apart(all.slice(half)))]);
  }

  private async together(all: readonly Wanted[]): Promise<Map<string, Read[]>> {
    const [{ need: first }] = all as [Wanted];
    const { relations, withDeleted } = first;
    const metadata = this.entities.named(first)!;
    const wanted = new Map(all.map(({ need, takers }) => [need.id, takers]));
    const instances = await this.reads.run((manager) =>
      readInstances(manager, { metadata, relations, withDeleted }, wanted),
    );
    return new Map(
      [...wanted.keys()].map((id) => [id, instances.get(id)?.map((entity) => ({ entity })) ?? [absent(metadata, id)]]),
    );
  }
}

function absent(metadata: EntityMetadata, id: string): Read {
  try {
    refuseHidden(metadata, id);
    return { entity: null };
  } catch (error) {
    return { error };
  }
}

const kindOf = ({ entity, table, relations, withDeleted }: Need): string =>
  JSON.stringify([entity, table, relations, withDeleted]);
