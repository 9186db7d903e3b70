import { SparkLog } from '../common/spark-log.js';
import { shown } from '../error/text-of.js';
import type { DataSource, EntityManager, EntityMetadata } from 'typeorm';
import type { Rechecks } from '../store/rechecks.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Derivation } from '../record/derivation.js';
import type { Recorder } from '../record/recorder.js';
import type { Source } from '../source/source.js';
import { rootOf } from '../entity/entity-table.js';

/** Events of a sweep that live capture may have missed, and the entities that they may belong to. */
export interface Candidates {
  readonly keys: ReadonlySet<string>;
  readonly ids: readonly string[];
}

/**
 * Counts the events of a sweep that live capture has missed. Other new events became true by time alone. To find out, it runs the
 * source for the instant of the last sweep. If the source yields the event for that instant, too, then the entity has changed since,
 * because the last sweep did not find the event. So live capture has missed the change.
 */
export class MissedDetector {
  private readonly logger = new SparkLog();
  private readonly warned = new Set<EntityMetadata>();

  constructor(
    private readonly dataSource: DataSource,
    private readonly rechecks: Rechecks,
    private readonly recorder: Recorder,
  ) {}

  /** Called in the transaction that enters the events. An entity with a recheck was captured, so it is not a candidate. */
  async candidates(
    manager: EntityManager,
    source: Source,
    derivation: Derivation,
    fresh: readonly SparkEvent[],
    page: readonly string[],
    now: number,
  ): Promise<Candidates> {
    const keys = new Set(fresh.map(({ key }) => key));
    // The events of a batch source do not say which entity they belong to.
    const ids = source.options.batch
      ? page
      : derivation.found.flatMap(({ key, entityId }) => (keys.has(key) && entityId !== null ? [entityId] : []));
    const seen = await this.rechecks.seen(manager, rootOf(source.metadata), [...new Set(ids)], now);
    return { keys, ids: [...new Set(ids)].filter((id) => !seen.has(id)) };
  }

  /** How many of the candidates were already true at an instant. */
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
      `A sweep has found events of ${metadata.name} that live capture missed (${shown(name)}). Likely causes: raw SQL, another ` +
        `program, a database cascade or trigger, { listeners: false }, or a source that has changed. Sweeps find such changes, but ` +
        `later. SparkService.status() counts them; this line appears once.`,
      { source: name, entity: metadata.name },
    );
  }
}
