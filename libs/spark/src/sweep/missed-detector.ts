import { Logger } from '@nestjs/common';
import { shown } from '../error/text-of.js';
import type { DataSource, EntityManager, EntityMetadata } from 'typeorm';
import type { Rechecks } from '../store/rechecks.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Derivation } from '../record/derivation.js';
import type { Recorder } from '../record/recorder.js';
import type { Source } from '../source/source.js';
import { rootOf } from '../entity/entity-table.js';

/** Events that a sweep found and live capture may have missed, and the entities that they may be of. */
export interface Candidates {
  readonly keys: ReadonlySet<string>;
  readonly ids: readonly string[];
}

/**
 * Tells what live capture should have seen from what only time has made true: the source, run for the instant of the last
 * sweep, yields it too, though that sweep did not find it. So it is the entity that has changed, unseen.
 */
export class MissedDetector {
  private readonly logger = new Logger('Spark');
  private readonly warned = new Set<EntityMetadata>();

  constructor(
    private readonly dataSource: DataSource,
    private readonly rechecks: Rechecks,
    private readonly recorder: Recorder,
  ) {}

  /** In the transaction that entered them: an entity that has a recheck was seen, and is not a candidate. */
  async candidates(
    manager: EntityManager,
    source: Source,
    derivation: Derivation,
    fresh: readonly SparkEvent[],
    page: readonly string[],
    now: number,
  ): Promise<Candidates> {
    const keys = new Set(fresh.map(({ key }) => key));
    // Which entity a batch's event is of, its source does not say.
    const ids = source.options.batch
      ? page
      : derivation.found.flatMap(({ key, entityId }) => (keys.has(key) && entityId !== null ? [entityId] : []));
    const seen = await this.rechecks.seen(manager, rootOf(source.metadata), [...new Set(ids)], now);
    return { keys, ids: [...new Set(ids)].filter((id) => !seen.has(id)) };
  }

  /** How many of the candidates were true at an instant already. */
  async count(source: Source, { keys, ids }: Candidates, then: number): Promise<number> {
    if (ids.length === 0) return 0;
    const { found } = await this.recorder.derive(this.dataSource.manager, [source], ids, then);
    const missed = new Set(found.map(({ key }) => key).filter((key) => keys.has(key))).size;
    if (missed > 0) this.warn(source);
    return missed;
  }

  private warn({ name, metadata }: Source): void {
    if (this.warned.has(metadata)) return;
    this.warned.add(metadata);
    this.logger.warn(
      `A sweep has found events of ${metadata.name} that live capture missed (${shown(name)}). The likely cause: raw SQL, another ` +
        `program, a database cascade or trigger, { listeners: false }, or a source that has changed. Sweeps find what they ` +
        `write, only later. SparkService.status() counts it; this line appears once.`,
    );
  }
}
