import type { SparkClock } from '../common/clock.js';
import type { Delivery } from '../store/deliveries.js';
import type { SureReads } from './sure-reads.js';
import { NotKnownHere, NotKnownYet } from './undecided.js';
import { eventSince, type Lasting, lasts } from '../event/lasting.js';
import { checkEvent } from '../event/event-check.js';
import { standsFor } from '../event/repetitions.js';
import type { SparkEvent } from '../event/spark-event.js';
import { eventsOf, type Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import type { Conditions } from '../store/conditions.js';
import { refuseHidden } from '../entity/row-security.js';
import { readSubjects } from '../entity/subjects.js';

/** Checks whether an event still holds, just before a handler is called with it. */
export class StillWanted {
  constructor(
    private readonly reads: SureReads,
    private readonly sources: SourceRegistry,
    private readonly conditions: Conditions,
    private readonly clock: SparkClock,
  ) {}

  /**
   * Returns why an event does not hold any more, or undefined if it does.
   *
   * @throws NotKnownHere, DatabaseAway, and what the source throws
   */
  async reasonAgainst({ event }: Delivery, revalidate: boolean): Promise<string | undefined> {
    const now = this.clock.now();
    if (event.until !== null && now >= event.until)
      return `its until, ${new Date(event.until).toISOString()}, has passed`;
    // An event of a batch with a key of its own does not name its entity.
    if (!revalidate || event.source === null || event.entityId === null) return undefined;
    const source = this.sources.named(event.source);
    if (!source) throw new NotKnownHere('source', event.source);
    // This runs before the transaction of a transactional handler, so that a skip has nothing to roll back.
    const sinceOf = await this.sinceOf(source, event.entityId);
    const events = await this.eventsOf(source, event.entityId, now);
    const isYielded = events.some((yielded) => {
      if (!lasts(yielded)) return standsFor(yielded, event, now);
      const since = sinceOf.get(yielded.key);
      // A process without the option has removed it. The recheck after this finds since when it lasts.
      if (since === undefined && yielded.key === event.key && checkEvent(yielded) === undefined)
        throw new NotKnownYet();
      const held = lasted(yielded, since);
      return held !== undefined && standsFor(held, event, now);
    });
    return isYielded ? undefined : `${source.name} no longer yields it`;
  }

  /** Since when the source has yielded its events with `trueFor`, by key. */
  private async sinceOf(source: Source, id: string): Promise<Map<string, number | undefined>> {
    if (!source.options.trueFor) return new Map();
    const found = await this.reads.run((manager) => this.conditions.of(manager, source, [id]));
    return new Map(found.map(({ key, since }) => [key, since]));
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

/** An event that has begun to last; undefined if it has not, or cannot be entered. */
const lasted = (event: Lasting, since: number | undefined): SparkEvent | undefined =>
  since === undefined || checkEvent(event) !== undefined ? undefined : eventSince(event, since);
