import type { EntityMetadata } from 'typeorm';
import { DuplicateSourceError } from '../error/duplicate-source.error.js';
import { rootOf } from '../entity/entity-table.js';
import type { Source } from './source.js';

/** The name of a source, and the names that it had before. */
export const sourceNames = ({ name, options }: Source): string[] => [name, ...(options.aliases ?? [])];

/** The event sources of one DataSource, by entity. */
export class SourceRegistry {
  private readonly byName = new Map<string, Source>();
  private readonly byRoot = new Map<EntityMetadata, Source[]>();
  private readonly sources: Source[] = [];

  add(source: Source): void {
    for (const name of sourceNames(source)) {
      const twin = this.byName.get(name);
      if (twin) throw new DuplicateSourceError(name, twin.where, source.where);
      this.byName.set(name, source);
    }
    this.sources.push(source);
    const root = rootOf(source.metadata);
    this.byRoot.set(root, [...(this.byRoot.get(root) ?? []), source]);
  }

  all(): readonly Source[] {
    return this.sources;
  }

  /** The source that has this name, or had it before. */
  named(name: string): Source | undefined {
    return this.byName.get(name);
  }

  /** The sources of an entity's table. */
  of(metadata: EntityMetadata): Source[] {
    return this.byRoot.get(rootOf(metadata)) ?? [];
  }

  /** The live sources of an entity's table. With single-table inheritance, these include the sources of its ancestors and children. */
  liveOf(metadata: EntityMetadata): Source[] {
    return this.of(metadata).filter((source) => source.live);
  }

  /** The entities that have sources, one for each table. */
  roots(): EntityMetadata[] {
    return [...this.byRoot.keys()];
  }

  /** The entities that have live sources, one for each table. */
  liveRoots(): EntityMetadata[] {
    return [...this.byRoot].filter(([, sources]) => sources.some((source) => source.live)).map(([root]) => root);
  }
}
