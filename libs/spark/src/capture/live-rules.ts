import type { DataSource, EntityManager, EntityMetadata, ObjectLiteral, QueryRunner, UpdateEvent } from 'typeorm';
import { SerialQueue } from '../common/serial-queue.js';
import type { Dialect } from '../database/dialect.js';
import type { Capture } from '../record/capture.js';
import type { SourceRegistry } from '../source/source.registry.js';
import { rootOf } from '../entity/entity-table.js';
import { keyOf, writeKey } from '../entity/subject-ref.js';
import { touchedByRules } from '../source/touched-by.js';
import { heldKey, touchedKeys, touchRules, type TouchRule } from '../source/touches.js';

/** Decides which writes concern which live sources: those of the sources' own entities, and those of entities that they read with them. */
export class LiveRules {
  private readonly roots = new Set<EntityMetadata>();
  private readonly rules = new Map<EntityMetadata, TouchRule[]>();
  /** The reads of each connection. TypeORM calls subscribers with all removed entities at once, and pg warns of statements that overlap. */
  private readonly reads = new WeakMap<QueryRunner, SerialQueue>();

  constructor(
    private readonly dataSource: DataSource,
    private readonly sources: SourceRegistry,
    private readonly dialect: Dialect,
  ) {}

  /** Builds the rules, after all sources have been found. */
  build(): void {
    for (const root of this.sources.liveRoots()) {
      this.roots.add(root);
      const sources = this.sources.liveOf(root);
      const named = sources.flatMap((source) => touchedByRules(this.dataSource, source));
      for (const rule of [...sources.flatMap(touchRules), ...named]) {
        const changed = rootOf(rule.changed);
        this.rules.set(changed, [...(this.rules.get(changed) ?? []), rule]);
      }
    }
  }

  concerns(metadata: EntityMetadata): boolean {
    const root = rootOf(metadata);
    return this.roots.has(root) || this.rules.has(root);
  }

  derives(metadata: EntityMetadata): boolean {
    return this.roots.has(rootOf(metadata));
  }

  touches(metadata: EntityMetadata): readonly TouchRule[] {
    return this.rules.get(rootOf(metadata)) ?? [];
  }

  /** Captures a saved entity, or a saved row of a junction table, whose key holds the keys of both sides. */
  saved(capture: Capture, metadata: EntityMetadata, entityId: unknown, isNew: boolean): void {
    const id = this.keyText(metadata, entityId);
    if (id === undefined) return;
    this.written(capture, metadata, id, isNew, metadata.isJunction ? (entityId as ObjectLiteral) : undefined);
  }

  /** Captures a written row by its key. Spark reads the row at the end, because the instance of the application may be out of date. */
  written(capture: Capture, metadata: EntityMetadata, id: string, isNew = false, held?: ObjectLiteral): void {
    if (this.derives(metadata)) capture.subject({ ref: { root: rootOf(metadata), id }, isNew });
    for (const rule of this.touches(metadata)) this.touchHeld(capture, rule, heldKey(this.dataSource, rule, held), id);
  }

  /** Whether an update may change which entities the updated one touches. */
  moves({ metadata, updatedColumns, updatedRelations }: UpdateEvent<ObjectLiteral>): boolean {
    const rules = this.touches(metadata);
    if (rules.length === 0) return false;
    const holders = new Set(rules.flatMap(({ direct }) => direct ?? []).map(({ databaseName }) => databaseName));
    return (
      updatedRelations.length > 0 ||
      updatedColumns.some(
        ({ relationMetadata, referencedColumn, databaseName }) =>
          relationMetadata ?? referencedColumn ?? holders.has(databaseName),
      )
    );
  }

  /**
   * Captures the entities that an entity touches before it is moved or removed. It reads them, because TypeORM's instance may be out of
   * date.
   */
  touchOld(
    manager: EntityManager,
    capture: Capture,
    metadata: EntityMetadata,
    entityId: unknown,
  ): Promise<void> | undefined {
    const id = this.keyText(metadata, entityId);
    if (id === undefined) return undefined;
    const rules = this.touches(metadata);
    if (!metadata.isJunction) return this.touchRead(manager, capture, rules, id);
    for (const rule of rules)
      this.touchHeld(capture, rule, heldKey(this.dataSource, rule, entityId as ObjectLiteral), id);
    return undefined;
  }

  private touchRead(
    manager: EntityManager,
    capture: Capture,
    rules: readonly TouchRule[],
    id: string,
  ): Promise<void> | undefined {
    if (rules.length === 0) return undefined;
    const runner = manager.queryRunner!;
    const queue = this.reads.get(runner) ?? new SerialQueue();
    this.reads.set(runner, queue);
    return queue.run(() => this.readOld(manager, capture, rules, [id], true));
  }

  /** Captures the entities that rows touch before an upsert overwrites the rows. */
  touchOverwritten(
    manager: EntityManager,
    capture: Capture,
    metadata: EntityMetadata,
    ids: readonly string[],
  ): Promise<void> {
    // Without locks: for rows that do not exist yet, locks would block inserts of neighbouring rows by other transactions.
    return this.readOld(manager, capture, this.touches(metadata), ids, false);
  }

  private async readOld(
    manager: EntityManager,
    capture: Capture,
    rules: readonly TouchRule[],
    ids: readonly string[],
    lock: boolean,
  ): Promise<void> {
    for (const rule of rules) {
      const keys = await touchedKeys(manager, rule, ids, lock && this.dialect.skipsLocked);
      for (const key of keys) capture.recheck({ root: rule.root, id: key });
    }
  }

  private touchHeld(capture: Capture, rule: TouchRule, key: string | null | undefined, id: string): void {
    if (key === undefined) capture.touch(rule, id);
    else if (key !== null && rule.through) capture.touch(rule.through, key);
    else if (key !== null) capture.recheck({ root: rule.root, id: key });
  }

  /** The key as text. A single key is given as its value, which may be an object of the application; a composite key as a map. */
  private keyText(metadata: EntityMetadata, entityId: unknown): string | undefined {
    const columns = metadata.primaryColumns;
    if (metadata.isJunction)
      return writeKey(
        this.dataSource,
        metadata,
        columns.map(({ propertyName }) => (entityId as ObjectLiteral)[propertyName] as unknown),
      );
    if (columns.length > 1) return keyOf(this.dataSource, metadata, entityId as ObjectLiteral);
    return writeKey(this.dataSource, metadata, [this.dataSource.driver.preparePersistentValue(entityId, columns[0]!)]);
  }
}
