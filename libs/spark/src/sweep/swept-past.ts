import type { DataSource, EntityManager } from 'typeorm';
import type { InitialState } from '../database/delivery-states.js';
import { rootOf } from '../entity/entity-table.js';
import type { Derivation } from '../record/derivation.js';
import type { Recorder } from '../record/recorder.js';
import type { Source } from '../source/source.js';
import type { Adoption } from '../store/adoption.js';
import type { InitialStateOf } from '../store/ledger.js';
import type { Rechecks } from '../store/rechecks.js';
import type { Share } from './pages.js';

const NONE: ReadonlySet<string> = new Set();

/**
 * Tells which of the events that a sweep finds were true before Spark knew them. In the first sweep of a group, all were. Where the code of
 * a source has changed, those were that it also yields for the instant of the last sweep: they have not become true by time.
 */
export class SweptPast {
  constructor(
    private readonly dataSource: DataSource,
    private readonly adoption: Adoption,
    private readonly recorder: Recorder,
    private readonly rechecks: Rechecks,
  ) {}

  /** The keys of events of known groups that a changed source would have yielded in the last sweep. */
  async before(source: Source, { round, groups }: Share, { found }: Derivation): Promise<ReadonlySet<string>> {
    if (round.baseline || round.sweptAt === undefined || isAdopted(source, round) || source.history === 'deliver')
      return NONE;
    const known = found.filter(({ group }) => groups.get(group));
    const ids = [...new Set(known.flatMap(({ entityId }) => entityId ?? []))];
    if (ids.length === 0) return NONE;
    const then = await this.recorder.derive(this.dataSource.manager, [source], ids, round.sweptAt);
    return new Set(then.found.map(({ key }) => key));
  }

  /** How the deliveries of the events of a page are opened. */
  stateOf(source: Source, { round, groups }: Share, before: ReadonlySet<string>): InitialStateOf {
    return (event): InitialState => {
      if (round.baseline) return 'discarded';
      if (!groups.get(event.group)) return this.adoption.stateOf(source, event, isAdopted(source, round));
      return before.has(event.key) ? 'held' : 'available';
    };
  }

  /**
   * The keys of events that the page does not enter, because their entities have a recheck: a change has been committed, and only the
   * recheck tells what it has made true.
   */
  async leftToRechecks(
    manager: EntityManager,
    source: Source,
    round: Share['round'],
    { found }: Derivation,
    stateOf: InitialStateOf,
    now: number,
  ): Promise<ReadonlySet<string>> {
    if (!source.live || (isAdopted(source, round) && !round.baseline)) return NONE;
    const past = found.filter(
      ({ event, ...of }) => stateOf({ ...of, at: event.at?.getTime() ?? null }) !== 'available',
    );
    const ids = [...new Set(past.flatMap(({ entityId }) => entityId ?? []))];
    const waiting = await this.rechecks.seen(manager, rootOf(source.metadata), ids, now);
    return new Set(past.filter(({ entityId }) => waiting.has(entityId ?? '')).map(({ key }) => key));
  }
}

/** Whether Spark had adopted a source before a sweep: this process may not know yet that another one has. */
export const isAdopted = (source: Source, { code }: Share['round']): boolean => code === source.code;
