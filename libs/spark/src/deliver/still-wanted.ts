import type { SparkClock } from '../common/clock.js';
import type { Delivery } from '../store/deliveries.js';
import type { SureReads } from './sure-reads.js';
import { NotKnownHere } from './undecided.js';
import type { SparkEvent } from '../event/spark-event.js';
import { eventsOf, type Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import { refuseHidden } from '../entity/row-security.js';
import { readSubjects } from '../entity/subjects.js';

/** Whether an event is still wanted, just before a handler is called with it. */
export class StillWanted {
  constructor(
    private readonly reads: SureReads,
    private readonly sources: SourceRegistry,
    private readonly clock: SparkClock,
  ) {}

  /** Why it is not wanted any more; undefined when it is. What a source throws is thrown. Throws NotKnownHere, DatabaseAway. */
  async reasonAgainst({ event }: Delivery, revalidate: boolean): Promise<string | undefined> {
    const now = this.clock.now();
    if (event.until !== null && now >= event.until)
      return `it was of use until ${new Date(event.until).toISOString()} only`;
    // Which entity an event of a batch is about is not known where it has a key of its own.
    if (!revalidate || event.source === null || event.entityId === null) return undefined;
    const source = this.sources.named(event.source);
    if (!source) throw new NotKnownHere('source', event.source);
    // Before a transactional handler's transaction, not in it: a skip has nothing to roll back there.
    const events = await this.eventsOf(source, event.entityId, now);
    const isYielded = events.some((yielded) => yielded.key === event.key && isTrue(yielded, now));
    return isYielded ? undefined : `${source.name} does not yield it any more`;
  }

  private async eventsOf(source: Source, id: string, now: number): Promise<readonly SparkEvent[]> {
    const [subject] = await this.reads.run((manager) => readSubjects(manager, source, [id]));
    if (!subject) {
      refuseHidden(source.metadata, id);
      return [];
    }
    const { entity } = subject;
    return eventsOf(source, source.options.batch ? [entity] : entity, { now: new Date(now) });
  }
}

function isTrue(event: SparkEvent, now: number): boolean {
  if ('at' in event && !event.at) return false;
  return (event.at?.getTime() ?? now) <= now;
}
