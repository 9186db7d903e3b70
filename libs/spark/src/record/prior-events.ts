import type { EntityManager, EntityMetadata } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import { chunks } from '../database/statement.js';
import { readSubjects } from '../entity/subjects.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import { NotSynchronous, type Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import type { Adoption } from '../store/adoption.js';
import type { Rechecks } from '../store/rechecks.js';
import type { Capture } from './capture.js';
import { Derivation, type Found } from './derivation.js';
import { inSavepoint } from './in-savepoint.js';

const PAGE = 500;

/**
 * Tells what was true of an entity before a transaction changed it, as long as Spark has not adopted its source. It reads the entity
 * before the write, on the connection of the transaction, and runs the source for the instant at which Spark has seen it first.
 */
export class PriorEvents {
  constructor(
    private readonly sources: SourceRegistry,
    private readonly adoption: Adoption,
    private readonly rechecks: Rechecks,
    private readonly interceptors: Interceptors,
    private readonly clock: SparkClock,
  ) {}

  /** Whether the state of an entity before a write is wanted. */
  isWanted(root: EntityMetadata): boolean {
    return this.open(root).length > 0;
  }

  /** Reads entities before a write, unless the transaction has changed them already. */
  async read(manager: EntityManager, capture: Capture, root: EntityMetadata, keys: readonly string[]): Promise<void> {
    const ids = keys.filter((id) => !capture.hasPrior({ root, id }));
    if (ids.length === 0) return;
    const found: Found[] = [];
    for (const source of this.open(root))
      for (const part of chunks(ids, PAGE))
        found.push(...(await this.derive(manager, source, part, this.adoption.seenAt(source))));
    // An earlier transaction may have made something true, and its recheck has not entered it yet. This is read after the entities.
    const waiting = await this.rechecks.seen(manager, root, ids, this.clock.now());
    const prior = new Map(ids.map((id) => [id, new Set<string>()]));
    for (const { entityId, key } of found) if (!waiting.has(entityId!)) prior.get(entityId!)?.add(key);
    for (const [id, events] of prior) capture.addPrior({ root, id }, events);
  }

  /**
   * Adds the events that were true before the transaction and are still true. The recorder enters them as past, so that neither it nor a
   * recheck delivers them.
   */
  async add(manager: EntityManager, derivation: Derivation, capture: Capture, now: number): Promise<void> {
    for (const [root, priors] of capture.priors()) {
      const ids = [...priors].flatMap(([id, keys]) => (keys.size > 0 ? [id] : []));
      for (const source of this.open(root))
        for (const part of chunks(ids, PAGE)) {
          const found = await this.derive(manager, source, part, now);
          const still = found.filter(({ entityId, key }) => priors.get(entityId ?? '')?.has(key));
          derivation.addPast(still, this.adoption.stateOfSaved(source));
        }
    }
  }

  // A source that waits would do so while the transaction is open.
  private open(root: EntityMetadata): Source[] {
    return this.sources
      .liveOf(root)
      .filter((source) => this.adoption.isOpen(source) && !source.isAsync && !source.options.batch);
  }

  /** What a source yields for entities. Those for which it fails count as if nothing were true of them. */
  private async derive(manager: EntityManager, source: Source, ids: readonly string[], now: number): Promise<Found[]> {
    const derivation = new Derivation(now, undefined, this.interceptors.aroundSource);
    const read = (inner: EntityManager) => readSubjects(inner, source, ids);
    await derivation.runNow(source, await inSavepoint(manager, read).catch(() => []), false);
    source.isAsync ||= derivation.failures.some(({ error }) => error instanceof NotSynchronous);
    return derivation.found;
  }
}
