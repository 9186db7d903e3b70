import { setTimeout as delay } from 'node:timers/promises';
import { SparkLog } from '../common/spark-log.js';
import { linesOf, shown } from '../error/text-of.js';
import { SourceTimeoutError } from '../error/source-timeout.error.js';
import type { Source } from '../source/source.js';
import { LostSweep, type SweepRange } from '../store/sweep-ranges.js';
import type { SweepShare, SweepTicket } from '../store/sweep-ticket.js';
import { type Page, pagesApart, pagesOf, RangeFailed, type Share, type SomeKeys } from './pages.js';
import { FIGURES, type Progress } from './progress.js';
import type { Lane } from './source-sweeper.js';
import type { Outcome, SweepLimits, SweepParts } from './sweep-parts.js';
import type { Sums } from './sweep-report.js';

// If so many ranges fail one after the other, the next ones will fail, too.
const FAILURES = 3;
/** How often a process asks whether an application has paused the sweep, in milliseconds. */
const ASKED_EVERY = 1_000;
/** How long it waits before it asks for a range again, in milliseconds. */
const PAUSE = 50;
/** For how many ranges it asks other processes for help at most: more processes at once load the database too much. */
const MOST_HELP = 20;

/** The part of this process in the sweep of one source: takes ranges, and sweeps them. */
export class Participant {
  private readonly logger = new SparkLog();
  private readonly held = new Set<Share>();
  /** How many ranges it has taken. */
  private taken = 0;
  private failures = 0;
  private failuresInARow = 0;
  private askedAt = performance.now();
  private isPaused = false;
  /** Whether it has swept anything. */
  hasSwept = false;

  constructor(
    private readonly parts: SweepParts,
    readonly source: Source,
    private readonly limits: SweepLimits,
    private readonly progress: Progress,
    private readonly sums: Sums,
  ) {}

  /** Sweeps ranges until there is none for this process. */
  async sweep(ticket: SweepTicket): Promise<Outcome> {
    return this.keeping(async () => {
      for (;;) {
        const { taken } = this;
        const outcomes = await all(Array.from({ length: this.limits.concurrency }, () => this.lane(ticket)));
        if (this.isStopped) return this.isPaused ? 'paused' : 'gone';
        const last = outcomes.find((outcome) => outcome !== 'again');
        if (last !== undefined && !outcomes.includes('again')) return this.counted(last);
        // Another lane, or another process, is sweeping what is left.
        if (this.taken === taken) await delay(PAUSE);
      }
    });
  }

  /** Sweeps some of the keys, by this process alone. */
  async sweepApart(some: SomeKeys): Promise<Outcome> {
    return this.keeping(async () => {
      const { dataSource, rows, sweeps } = this.parts;
      if (await rows.isPaused(dataSource.manager, this.source.name)) return 'paused';
      const shares = new Set<Share>();
      const share = await this.shareOf(await sweeps.takeApart(this.source.name), shares);
      const isDone = await this.work(pagesApart(dataSource, this.source, share, some), shares);
      if (isDone) return 'done';
      return this.isPaused ? 'paused' : 'gone';
    });
  }

  /** Helps other processes: sweeps one range of their sweep. Returns whether there was one. */
  async help(ticket: SweepTicket): Promise<boolean> {
    await this.keeping(() => this.lane(ticket, 1));
    return this.hasSwept;
  }

  /** Sweeps one range after the other, `most` of them. Returns `again` if there may be more. */
  private async lane(ticket: SweepTicket, most = Infinity): Promise<Outcome | 'again'> {
    const { dataSource, changed } = this.parts;
    let outcome: Outcome | 'again' = 'again';
    let ending: Share | undefined;
    let last: Share | undefined;
    const shares = new Set<Share>();
    const next = async () => {
      // Behind the last range of a table, there is nothing to take before it has been swept.
      if (this.isStopped || shares.size >= most || (last && last.range.upTo === undefined)) return undefined;
      const taken = await this.take(ticket, shares);
      if (typeof taken === 'string') {
        outcome = taken === 'wait' && this.held.size > 0 ? 'again' : taken;
        return undefined;
      }
      if (taken.range.state === 'ending') {
        ending = taken;
        return undefined;
      }
      if (!ticket.request.helps) this.askForHelp(taken);
      return (last = taken);
    };
    const result = await this.work(pagesOf(dataSource, this.source, next, changed.changedSince), shares);
    if (!result || !ending) return outcome;
    return this.finish(ticket, ending);
  }

  /** Asks with each range again: what others were asked for may have got lost, or has ended meanwhile. */
  private askForHelp({ range: { size } }: Share): void {
    // It is the last one, or others would not keep to the rate.
    if (size === undefined || this.limits.pace.isLimited) return;
    const ranges = Math.ceil((this.progress.left ?? Infinity) / size) - 1;
    this.parts.askForHelp(this.source.name, Math.min(MOST_HELP, Math.max(1, ranges)));
  }

  private async take(ticket: SweepTicket, shares: Set<Share>): Promise<Share | Outcome> {
    const { sweeps, clock } = this.parts;
    const taken = await sweeps.take(ticket, clock.now());
    return typeof taken === 'string' ? taken : this.shareOf(taken, shares);
  }

  /** Sweeps pages. Returns false if a range has failed. Then it gives back all that was taken for these pages: `shares`. */
  private async work(pages: AsyncGenerator<Page>, shares: ReadonlySet<Share>): Promise<boolean> {
    const { sweeper, changed } = this.parts;
    const lane: Lane = { source: this.source, isWatched: changed.mayApply(this.source), isAllNew: false };
    try {
      for await (const page of sweeper.derived(lane, pages)) {
        await this.limits.pace.wait(page.keys.length, () => this.isStopped);
        if (await this.shallStop()) return false;
        const figures = await sweeper.sweep(lane, page);
        this.failuresInARow = 0;
        if (page.isLast) this.held.delete(page.share);
        for (const figure of FIGURES) this.sums[figure] += figures[figure];
        this.progress.add(page.share, figures, page.isLast);
      }
      return true;
    } catch (error) {
      if (!(error instanceof RangeFailed)) throw error;
      await this.failed(error);
      await this.giveBack([...shares].filter((share) => this.held.has(share)));
      return false;
    }
  }

  private async finish(ticket: SweepTicket, share: Share): Promise<Outcome | 'again'> {
    try {
      this.sums.held += await this.parts.sweeper.finish(this.source, share);
    } catch (error) {
      if (!(error instanceof LostSweep)) throw error;
      await this.failed(new RangeFailed(share, error));
      return 'again';
    }
    this.held.delete(share);
    return share.round.number >= ticket.target! ? 'done' : 'again';
  }

  /** Holds a range, and adds it to `shares` before anything can fail: what is held and not swept must be given back. */
  private async shareOf(taken: SweepShare, shares: Set<Share>): Promise<Share> {
    this.taken++;
    // These are read after the range was taken: until it is given back, no sweep of the source ends.
    const share = { ...taken, groups: new Map<string, boolean>() };
    this.held.add(share);
    shares.add(share);
    for (const [group, isSwept] of await this.parts.activation.groupsOf(this.source.name))
      share.groups.set(group, isSwept);
    if (!this.hasSwept) this.progress.total = await this.parts.rowsOf(this.source).catch(() => undefined);
    this.hasSwept = true;
    this.progress.begin(share);
    return share;
  }

  /** Keeps the ranges of this process during work, and gives them back afterwards. */
  private async keeping<T extends Outcome | 'again'>(work: () => Promise<T>): Promise<T> {
    const { sweeps, ttl } = this.parts;
    const { name } = this.source;
    // If this fails, the next page finds out that the range was lost.
    const extend = () => void sweeps.extend(name).catch(() => undefined);
    const timer = setInterval(extend, ttl / 3);
    try {
      const outcome = await work();
      this.progress.end(outcome === 'done' && this.hasSwept);
      return outcome;
    } finally {
      clearInterval(timer);
      const ranges = this.rangesOf([...this.held]);
      if (ranges.length + this.failures > 0) await sweeps.leave(name, ranges).catch(() => undefined);
    }
  }

  /** Gives ranges back that were taken ahead. */
  private async giveBack(shares: readonly Share[]): Promise<void> {
    await this.parts.sweeps.giveBack(this.rangesOf(shares)).catch(() => undefined);
  }

  private rangesOf(shares: readonly Share[]): SweepRange[] {
    for (const share of shares) {
      this.held.delete(share);
      this.progress.drop(share);
    }
    return shares.map(({ range }) => range);
  }

  private async failed({ share, reason }: RangeFailed): Promise<void> {
    const { name } = this.source;
    this.held.delete(share);
    this.progress.drop(share);
    if (reason instanceof LostSweep && share.range.state !== 'apart') {
      this.logger.warn(
        `A part of the sweep of ${shown(name)} was taken over by another process, because this one was too slow. It goes on there.`,
        { source: name },
      );
      return;
    }
    this.failures++;
    this.failuresInARow = reason instanceof SourceTimeoutError ? FAILURES : this.failuresInARow + 1;
    this.sums.failed++;
    this.logger.error(
      `The sweep of ${shown(name)} failed: Spark could not read its entities. The other sources go on. ${linesOf(reason)}`,
      { source: name, error: reason },
    );
    // The next sweep begins at the start: a page that always fails must not keep the others from being swept.
    await this.parts.sweeps.fail(share.range).catch(() => undefined);
  }

  private async shallStop(): Promise<boolean> {
    if (performance.now() - this.askedAt > ASKED_EVERY) {
      this.isPaused = await this.parts.rows.isPaused(this.parts.dataSource.manager, this.source.name);
      this.askedAt = performance.now();
    }
    return this.isStopped;
  }

  private get isStopped(): boolean {
    return this.isPaused || this.failuresInARow >= FAILURES || this.limits.isStopped();
  }

  /** A sweep that has failed in another process has failed for this one, too. */
  private counted(outcome: Outcome): Outcome {
    if (outcome === 'failed' && this.failures === 0) this.sums.failed++;
    return outcome;
  }
}

/** Waits for all, also if one fails. */
async function all<T>(running: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(running);
  return Promise.all(running);
}
