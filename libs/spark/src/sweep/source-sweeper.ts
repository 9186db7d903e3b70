import type { DataSource, EntityManager } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { HeldDeliveries } from '../store/held-deliveries.js';
import { SourceTimeoutError } from '../error/source-timeout.error.js';
import { BASELINE } from '../database/delivery-states.js';
import type { Transactions } from '../database/transactions.js';
import type { Activation } from '../store/activation.js';
import type { Adoption } from '../store/adoption.js';
import type { SweepRows } from '../store/sweep-rows.js';
import type { Sweeps } from '../store/sweeps.js';
import type { Derivation } from '../record/derivation.js';
import { NOTHING_RECORDED, type RecordResult, type Recorder } from '../record/recorder.js';
import { type TimeReads, watchedSource } from '../source/clock-reads.js';
import type { Source } from '../source/source.js';
import type { GoneConditions } from './gone-conditions.js';
import { hindranceOf } from './changed-rows.js';
import type { MissedDetector, Candidates } from './missed-detector.js';
import { prefetch } from './prefetch.js';
import { isAdopted, type SweptPast } from './swept-past.js';
import { type Page, RangeFailed, type Share } from './pages.js';

/** Counts for a page, or for several pages. */
export interface Figures {
  readonly subjects: number;
  readonly entered: number;
  readonly missed: number;
  readonly failed: number;
  readonly refused: number;
}

/** The pages of a source that this process sweeps one after the other. */
export interface Lane {
  readonly source: Source;
  /** Whether Spark watches what the source reads of the time, so that the next sweep may read only changed rows. */
  readonly isWatched: boolean;
  /** Whether all events of the last page were new. If so, the next page is entered without a query for its keys. */
  isAllNew: boolean;
}

/** A page, with the events of the source that the ledger does not have. */
interface DerivedPage extends Omit<Page, 'subjects'> {
  readonly derivation: Derivation;
  /** How many events were derived. */
  readonly derived: number;
  /** The instant of the derivation. */
  readonly now: number;
  /** The groups that the source yields for the page. */
  readonly yielded: ReadonlySet<string>;
  /** What the source has read of the time; undefined if it was not watched. */
  readonly reads: TimeReads | undefined;
  /** The keys of events of known groups that were true before. */
  readonly before: ReadonlySet<string>;
}

// A sweep spends most of its time on queries for keys, so two pages do this at once.
const LOOKED_UP_AT_ONCE = 2;
/** How often a sweep without new events saves how far it is, in milliseconds. */
const SAVED_EVERY = 1_000;
const NO_CANDIDATES: Candidates = { keys: new Set(), ids: [] };

/** Sweeps ranges of one source, page by page, each in a short transaction, and ends the sweep. */
export class SourceSweeper {
  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly recorder: Recorder,
    private readonly sweeps: Sweeps,
    private readonly rows: SweepRows,
    private readonly activation: Activation,
    private readonly adoption: Adoption,
    private readonly past: SweptPast,
    private readonly held: HeldDeliveries,
    private readonly missed: MissedDetector,
    private readonly gone: GoneConditions,
    private readonly clock: SparkClock,
    private readonly onRecorded: (recorded: RecordResult) => void,
  ) {}

  /** The same pages with their events. While one page is entered, the next ones are read, derived and compared with the ledger. */
  derived(lane: Lane, pages: AsyncGenerator<Page>): AsyncGenerator<DerivedPage> {
    const read = prefetch(pages, (page) => page);
    const derived = prefetch(read, (page) => within(page, this.derivedFrom(lane, page)));
    const unknown = (page: DerivedPage) => within(page, this.unknownOf(lane, page));
    return prefetch(derived, unknown, LOOKED_UP_AT_ONCE);
  }

  /**
   * Sweeps a page: enters the new events, in a transaction of their own. The last page of a range ends the range. Throws RangeFailed.
   */
  async sweep(lane: Lane, page: DerivedPage): Promise<Figures> {
    const figures = page.keys.length === 0 ? NOTHING : await within(page, this.enter(lane, page));
    if (page.isLast) await within(page, this.sweeps.complete(page.share.range));
    return figures;
  }

  private async enter(lane: Lane, page: DerivedPage): Promise<Figures> {
    const { share, keys, derivation, now, yielded } = page;
    const { range, groups } = share;
    const { failures, refused } = derivation;
    if (failures.length > 0) this.recorder.retries(failures, now);
    // The other pages would take as long, and no other process could sweep the range meanwhile.
    for (const error of derivation.givenUp.values())
      if (error instanceof SourceTimeoutError) throw new RangeFailed(share, error);
    const met = [...yielded].filter((group) => !groups.has(group));
    const { recorded, candidates } =
      met.length === 0 && isNothing(derivation)
        ? await this.pass(lane, page)
        : await this.transactions.run((manager) => this.commit(manager, lane, page, met));
    range.reached = keys.at(-1);
    range.subjects += keys.length;
    for (const group of met) groups.set(group, false);
    this.onRecorded(recorded);
    const missed = await this.count(lane, share, candidates);
    const { length: entered } = recorded.events;
    lane.isAllNew = entered > 0 && entered === page.derived;
    return { subjects: keys.length, entered, missed, failed: failures.length, refused: refused.length };
  }

  /** Ends a sweep that has read all entities, and the first sweep of its groups. Returns how many deliveries stay held. */
  async finish(source: Source, { range, round }: Share): Promise<number> {
    const { name } = source;
    await this.gone.remove(source);
    const now = this.clock.now();
    // Other processes may have met groups in their ranges.
    const groups = await this.activation.groupsOf(name);
    const names = [...groups.keys()];
    const fresh = names.filter((group) => !groups.get(group));
    const known = isAdopted(source, round) ? [] : names.filter((group) => groups.get(group));
    if (round.baseline || fresh.length + known.length > 0)
      await this.sweeps.ranges.confirm(this.dataSource.manager, range);
    const staying = await this.settle(source, round.baseline, fresh, known, now);
    await this.transactions.run(async (manager) => {
      await this.sweeps.finish(manager, range, now);
      await this.activation.activate(manager, name, fresh, now);
      await this.adoption.adopt(manager, source);
    });
    if (!this.adoption.has(source)) await this.adoption.reload(this.dataSource.manager);
    return staying;
  }

  /** Decides on the held deliveries of fresh groups, and on those that the sweep of a changed source has opened of known groups. */
  private async settle(
    source: Source,
    baseline: boolean,
    fresh: readonly string[],
    known: readonly string[],
    now: number,
  ): Promise<number> {
    const { name } = source;
    if (!baseline)
      return (
        (await this.activation.settle(name, fresh, now)) +
        (await this.activation.settle(name, known, now, this.adoption.seenAt(source)))
      );
    // An earlier sweep may have left held deliveries.
    await this.held.discard({ source: name }, now, BASELINE);
    return 0;
  }

  /** Derives from committed state, outside of any transaction, so that a source that waits blocks nothing else. */
  private async derivedFrom({ source, isWatched }: Lane, page: Page): Promise<DerivedPage> {
    const now = this.clock.now();
    const watched = isWatched ? watchedSource(source) : undefined;
    const derivation = await this.derive(watched?.source ?? source, page, now);
    const yielded = new Set<string>();
    for (const { group } of derivation.found) yielded.add(group);
    // Derived pages wait in memory, so the entities are not part of them.
    const { share, keys, isLast } = page;
    const { reads } = watched ?? {};
    const derived = derivation.found.length;
    return { share, keys, isLast, derivation, derived, now, yielded, reads, before: new Set() };
  }

  private derive(source: Source, { keys, subjects }: Page, now: number): Promise<Derivation> {
    // What lasts is read before the entities.
    if (subjects && !source.options.trueFor) return this.recorder.deriveFrom(source, subjects, now);
    return this.recorder.derive(this.dataSource.manager, [source], keys, now);
  }

  /** The page without events whose keys are known, and which of the others were true before. */
  private async unknownOf({ source, isAllNew }: Lane, page: DerivedPage): Promise<DerivedPage> {
    const { share, derivation } = page;
    if (!isAllNew) await this.recorder.dropKnown(this.dataSource.manager, derivation);
    return { ...page, before: await this.past.before(source, share, derivation) };
  }

  /** Passes a page without new events. It saves how far the range is only now and then. */
  private async pass(lane: Lane, page: DerivedPage) {
    const { savedAt } = page.share.range;
    if (savedAt === undefined || performance.now() - savedAt > SAVED_EVERY)
      await this.advance(this.dataSource.manager, lane, page, 0);
    else this.note(lane, page);
    return { recorded: NOTHING_RECORDED, candidates: NO_CANDIDATES };
  }

  private async commit(manager: EntityManager, lane: Lane, page: DerivedPage, met: readonly string[]) {
    const { share, keys, derivation, now, before } = page;
    const { source } = lane;
    const initialStateOf = this.past.stateOf(source, share, before);
    const recorded = await this.recorder.enter(manager, derivation, now, {
      initialStateOf,
      without: await this.past.leftToRechecks(
        manager,
        source,
        share.round,
        derivation,
        initialStateOf,
        this.clock.now(),
      ),
      likelyNew: lane.isAllNew,
      changesNothing: true,
    });
    const fresh = recorded.events.filter(({ group }) => isExpected(source, share, group));
    const candidates =
      fresh.length === 0
        ? NO_CANDIDATES
        : await this.missed.candidates(manager, source, derivation, fresh, keys, this.clock.now());
    // This comes last. It fails if another process has taken over the range, and then nothing is entered. A process that stalls earlier
    // does not hold the row of the range.
    await this.advance(manager, lane, page, recorded.events.length);
    await this.activation.met(manager, source.name, met);
    return { recorded, candidates };
  }

  private async advance(manager: EntityManager, lane: Lane, page: DerivedPage, found: number): Promise<void> {
    const { range } = page.share;
    this.note(lane, page);
    const subjects = range.subjects + page.keys.length;
    await this.sweeps.ranges.advance(manager, range, { reached: page.keys.at(-1)!, subjects, found });
    range.savedAt = performance.now();
  }

  /** Notes before a page is passed why the next sweep must read all rows. */
  private note({ source }: Lane, { share, derivation, reads }: DerivedPage): void {
    share.range.hindrance ??= hindranceOf(source, derivation, reads);
  }

  private async count({ source }: Lane, { round }: Share, candidates: Candidates): Promise<number> {
    if (candidates.ids.length === 0) return 0;
    const missed = await this.missed.count(source, candidates, round.sweptAt!);
    if (missed > 0) await this.rows.missed(this.dataSource.manager, source.name, missed);
    return missed;
  }
}

/** Says of an error in which range it has occurred. */
async function within<T>({ share }: Pick<Page, 'share'>, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof RangeFailed ? error : new RangeFailed(share, error);
  }
}

const NOTHING: Figures = { subjects: 0, entered: 0, missed: 0, failed: 0, refused: 0 };

const isNothing = ({ found, rechecks, refused, conditions }: Derivation): boolean =>
  found.length + rechecks.length + refused.length === 0 && conditions.isEmpty;

/** Whether live capture should have found an event of the group, if its entity has changed since the last sweep. */
function isExpected(source: Source, { round, groups }: Share, group: string): boolean {
  return source.live && round.sweptAt !== undefined && groups.get(group) === true;
}
