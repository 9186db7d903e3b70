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

/** What became of reading an entity: null where its row is gone, or why it could not be read. */
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

/** Reads the entities of many contexts, all of one kind at once. Each context gets an instance of its own. */
export class EntityReads {
  private readonly kinds = new Map<string, Kind>();
  private readonly read = new Map<string, Read[]>();

  constructor(
    private readonly reads: SureReads,
    private readonly entities: DataSourceEntities,
  ) {}

  /** Notes that one more context needs an entity. */
  want(need: Need): void {
    const kind = kindOf(need);
    const { wanted } = this.kinds.get(kind) ?? { wanted: new Map<string, Wanted>() };
    if (!this.kinds.has(kind)) this.kinds.set(kind, { wanted });
    const known = wanted.get(need.id);
    if (known) known.takers++;
    else wanted.set(need.id, { need, takers: 1 });
  }

  /**
   * Reads what one context needs, a kind at a time, once all have said what they want. What many need is read once: a kind whose
   * table is locked holds up only those that need it. Throws DatabaseAway.
   */
  async run(needs: readonly Need[]): Promise<void> {
    for (const name of new Set(needs.map(kindOf))) {
      const kind = this.kinds.get(name)!;
      await (kind.reading ??= this.runKind(name, [...kind.wanted.values()]));
    }
  }

  /** With as many instances of each as there are contexts: no handler sees what another one did to its own. */
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

  /** What became of a wanted entity, for one context. */
  take(need: Need): Read {
    const reads = this.read.get(`${kindOf(need)} ${need.id}`)!;
    return reads.length > 1 ? reads.pop()! : reads[0]!;
  }

  // By halves where that fails, so that one that cannot be read does not keep the others from it.
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
