import type { EntityMetadata, FindOptionsRelations, ObjectLiteral } from 'typeorm';
import type { EntityRef } from '../event/entity-lookup.js';
import type { DataSourceEntities } from '../subject/entity-lookup.js';
import { refuseHidden } from '../subject/row-security.js';
import { readEntities } from '../subject/subjects.js';
import type { SureReads } from './sure-reads.js';
import { DatabaseAway } from './undecided.js';

/** An entity that a context refers to, and how it is read. */
export interface Need extends EntityRef {
  readonly relations?: FindOptionsRelations<ObjectLiteral>;
  readonly withDeleted?: boolean;
}

/** What became of reading an entity: null where its row is gone, or why it could not be read. */
export type Read = { readonly entity: ObjectLiteral | null } | { readonly error: unknown };

/** Reads the entities of many contexts, all of one kind at once. Each context gets an instance of its own. */
export class EntityReads {
  private readonly kinds = new Map<string, Map<string, { readonly need: Need; takers: number }>>();
  private readonly read = new Map<string, Read[]>();

  constructor(
    private readonly reads: SureReads,
    private readonly entities: DataSourceEntities,
  ) {}

  /** Notes that one more context needs an entity. */
  want(need: Need): void {
    const kind = kindOf(need);
    const known = this.kinds.get(kind) ?? new Map<string, { need: Need; takers: number }>();
    this.kinds.set(kind, known);
    const wanted = known.get(need.id);
    if (wanted) wanted.takers++;
    else known.set(need.id, { need, takers: 1 });
  }

  /** Reads what is wanted: as often as it is, so that no handler sees what another one did to its context. Throws DatabaseAway. */
  async run(): Promise<void> {
    for (const [kind, wanted] of this.kinds) {
      for (let left = [...wanted.values()]; left.length > 0; left = left.filter((one) => one.takers > 0)) {
        const found = await this.apart(left.map(({ need }) => need));
        for (const one of left) {
          const read = found.get(one.need.id) ?? { entity: null };
          one.takers = 'entity' in read && read.entity ? one.takers - 1 : 0;
          const place = `${kind} ${one.need.id}`;
          this.read.set(place, [...(this.read.get(place) ?? []), read]);
        }
      }
    }
  }

  /** What became of a wanted entity, for one context. */
  take(need: Need): Read {
    const reads = this.read.get(`${kindOf(need)} ${need.id}`)!;
    return reads.length > 1 ? reads.pop()! : reads[0]!;
  }

  // By halves where that fails, so that one that cannot be read does not keep the others from it.
  private async apart(needs: readonly Need[]): Promise<Map<string, Read>> {
    try {
      return await this.together(needs);
    } catch (error) {
      if (error instanceof DatabaseAway) throw error;
      if (needs.length === 1) return new Map([[needs[0]!.id, { error }]]);
    }
    const half = Math.ceil(needs.length / 2);
    return new Map([...(await this.apart(needs.slice(0, half))), ...(await this.apart(needs.slice(half)))]);
  }

  private async together(needs: readonly Need[]): Promise<Map<string, Read>> {
    const { relations, withDeleted } = needs[0]!;
    const metadata = this.entities.named(needs[0]!)!;
    const ids = needs.map(({ id }) => id);
    const entities = await this.reads.run((manager) =>
      readEntities(manager, { metadata, relations, withDeleted }, ids),
    );
    return new Map(ids.map((id) => [id, seen(metadata, id, entities.get(id))]));
  }
}

function seen(metadata: EntityMetadata, id: string, entity: ObjectLiteral | undefined): Read {
  if (entity) return { entity };
  try {
    refuseHidden(metadata, id);
    return { entity: null };
  } catch (error) {
    return { error };
  }
}

const kindOf = ({ entity, table, relations, withDeleted }: Need): string =>
  JSON.stringify([entity, table, relations, withDeleted]);
