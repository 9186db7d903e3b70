import type { DataSource, EntityManager } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { HeldDeliveries } from '../store/held-deliveries.js';
import { SourceTimeoutError } from '../error/source-timeout.error.js';
import { BASELINE, type InitialState } from '../database/delivery-states.js';
import type { Transactions } from '../database/transactions.js';
import type { Activation } from '../store/activation.js';
import type { Derivation } from '../record/derivation.js';
import { NOTHING_RECORDED, type RecordResult, type Recorder } from '../record/recorder.js';
import type { Source } from '../source/source.js';
import type { MissedDetector, Candidates } from './missed-detector.js';
import { prefetch } from './prefetch.js';
import { type Page, pagesOf } from './pages.js';
import type { LeasedSweep, SweepLease } from '../store/sweep-lease.js';

/** Counts for a page, or for several pages. */
export interface Figures {
  readonly subjects: number;
  readonly entered: number;
  readonly missed: number;
  readonly failed: number;
  readonly refused: number;
}

/** A sweep of one source in this process. */
export interface SourceSweep {
  readonly source: Source;
  readonly leased: LeasedSweep;
  /** The groups that the source has yielded in sweeps, and whether each has been through a whole sweep. */
  readonly groups: Map<string, boolean>;
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
}

// A sweep spends most of its time on queries for keys, so two pages do this at once.
const LOOKED_UP_AT_ONCE = 2;
/** How often a sweep without new events saves how far it is, in milliseconds. */
const SAVED_EVERY = 1_000;
const NO_CANDIDATES: Candidates = { keys: new Set(), ids: [] };

/** Sweeps one source, page by page, each in a short transaction, and ends the sweep. */
export class SourceSweeper {
  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly recorder: Recorder,
    private readonly lease: SweepLease,
    private readonly activation: Activation,
    private readonly held: HeldDeliveries,
    private readonly missed: MissedDetector,
    private readonly clock: SparkClock,
    private readonly onRecorded: (recorded: RecordResult) => void,
  ) {}

  /**
   * The pages that are left to sweep, up to a key. While one page is entered, the next ones are read, derived and compared with the
   * ledger.
   */
  pages(sweep: SourceSweep, upTo: string | undefined): AsyncGenerator<DerivedPage> {
    const { source, leased } = sweep;
    const read = prefetch(pagesOf(this.dataSource, source, leased.reached, upTo), (page) => page);
    const derived = prefetch(read, (page) => this.derivedFrom(sweep, page));
    return prefetch(derived, (page) => (sweep.isAllNew ? page : this.withoutKnown(page)), LOOKED_UP_AT_ONCE);
  }

  /** Sweeps a page: enters the new events, in a transaction of their own. */
  async sweep(sweep: SourceSweep, page: DerivedPage): Promise<Figures> {
    const { keys, derivation, now, yielded } = page;
    if (keys.length === 0) return NOTHING;
    const { leased, groups } = sweep;
    const { failures, refused } = derivation;
    if (failures.length > 0) this.recorder.retries(failures, now);
    // The other pages would take as long, and no other process could sweep the source meanwhile.
    for (const error of derivation.givenUp.values()) if (error instanceof SourceTimeoutError) throw error;
    const met = [...yielded].filter((group) => !groups.has(group));
    const { recorded, candidates } =
      met.length === 0 && isNothing(derivation)
        ? await this.pass(leased, page)
        : await this.transactions.run((manager) => this.commit(manager, sweep, page, met));
    leased.reached = keys.at(-1);
    for (const group of met) groups.set(group, false);
    this.onRecorded(recorded);
    const missed = await this.count(sweep, candidates);
    const { length: entered } = recorded.events;
    sweep.isAllNew = entered > 0 && entered === page.derived;
    return { subjects: keys.length, entered, missed, failed: failures.length, refused: refused.length };
  }

  /** Ends a sweep that has read all entities, and the first sweep of the given groups. Returns how many deliveries stay held. */
  async finish({ source, leased, groups }: SourceSweep, swept: readonly string[]): Promise<number> {
    const now = this.clock.now();
    const staying = await this.lease.during(leased, () => this.releaseHeld(leased, swept, now));
    await this.transactions.run(async (manager) => {
      await this.lease.finish(manager, leased, now);
      await this.activation.activate(manager, source.name, swept, now);
    });
    for (const group of swept) groups.set(group, true);
    return staying;
  }

  private async releaseHeld(leased: LeasedSweep, groups: readonly string[], now: number): Promise<number> {
    if (!leased.baseline && groups.length === 0) return 0;
    await this.lease.confirm(leased);
    if (!leased.baseline) return this.activation.settle(leased.source, groups, now);
    // An earlier sweep may have left held deliveries.
    await this.held.discard({ source: leased.source }, now, BASELINE);
    return 0;
  }

  /** Derives from committed state, outside of any transaction, so that a source that waits blocks nothing else. */
  private async derivedFrom({ source, leased }: SourceSweep, page: Page): Promise<DerivedPage> {
    const now = this.clock.now();
    const derivation = await this.lease.during(leased, () => this.derive(source, page, now));
    const yielded = new Set<string>();
    for (const { group } of derivation.found) yielded.add(group);
    // Derived pages wait in memory, so the entities are not part of them.
    const { keys, isLast } = page;
    return { keys, isLast, derivation, derived: derivation.found.length, now, yielded };
  }

  private derive(source: Source, { keys, subjects }: Page, now: number): Promise<Derivation> {
    if (subjects) return this.recorder.deriveFrom(source, subjects, now);
    return this.recorder.derive(this.dataSource.manager, [source], keys, now);
  }

  private async withoutKnown(page: DerivedPage): Promise<DerivedPage> {
    await this.recorder.dropKnown(this.dataSource.manager, page.derivation);
    return page;
  }

  /** Passes a page without new events. It saves how far the sweep is only now and then. */
  private async pass(leased: LeasedSweep, { keys }: DerivedPage) {
    if (leased.savedAt === undefined || performance.now() - leased.savedAt > SAVED_EVERY)
      await this.lease.advance(this.dataSource.manager, leased, keys.at(-1)!, 0);
    return { recorded: NOTHING_RECORDED, candidates: NO_CANDIDATES };
  }

  private async commit(manager: EntityManager, sweep: SourceSweep, page: DerivedPage, met: readonly string[]) {
    const { keys, derivation, now } = page;
    const { source, leased } = sweep;
    const recorded = await this.recorder.enter(manager, derivation, now, {
      initialStateOf: (group) => initialStateOf(sweep, group),
      likelyNew: sweep.isAllNew,
      changesNothing: true,
    });
    const fresh = recorded.events.filter(({ group }) => isExpected(sweep, group));
    const candidates =
      fresh.length === 0
        ? NO_CANDIDATES
        : await this.missed.candidates(manager, source, derivation, fresh, keys, this.clock.now());
    // This comes last. It fails if another process has taken over the source, and then nothing is entered. A process that stalls earlier
    // does not hold the row of the sweep.
    await this.lease.advance(manager, leased, keys.at(-1)!, recorded.events.length);
    await this.activation.met(manager, source.name, met);
    return { recorded, candidates };
  }

  private async count({ source, leased }: SourceSweep, candidates: Candidates): Promise<number> {
    if (candidates.ids.length === 0) return 0;
    const missed = await this.missed.count(source, candidates, leased.sweptAt!);
    if (missed > 0) await this.lease.missed(leased, missed);
    return missed;
  }
}

const NOTHING: Figures = { subjects: 0, entered: 0, missed: 0, failed: 0, refused: 0 };

const isNothing = ({ found, rechecks, refused }: Derivation): boolean =>
  found.length + rechecks.length + refused.length === 0;

function initialStateOf({ leased, groups }: SourceSweep, group: string): InitialState {
  if (leased.baseline) return 'discarded';
  return groups.get(group) ? 'available' : 'held';
}

/** Whether live capture should have found an event of the group, if its entity has changed since the last sweep. */
function isExpected({ source, leased, groups }: SourceSweep, group: string): boolean {
  return source.live && leased.sweptAt !== undefined && groups.get(group) === true;
}
