import { Logger } from '@nestjs/common';
import { Subject as Stream } from 'rxjs';
import { SerialQueue } from '../common/serial-queue.js';
import type { BootContext } from '../common/boot-context.js';
import type { SparkClock } from '../common/clock.js';
import { linesOf, shown } from '../error/text-of.js';
import type { Activation } from '../store/activation.js';
import type { Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import type { Figures, SourceSweep, SourceSweeper } from './source-sweeper.js';
import { type LeasedSweep, LostSweep, type SweepLease, type SweepRequest } from '../store/sweep-lease.js';

/** The progress of a sweep of one source. */
export interface SweepProgress {
  /** The source's name. */
  readonly source: string;
  /** The entity's name. */
  readonly entity: string;
  /** How many entities Spark has read so far. */
  readonly subjects: number;
  /** How many new events the sweep has entered so far. */
  readonly entered: number;
  /**
   * How many of these live capture should have found. The source yields them for the time of the last sweep, too, so time alone has not
   * made them true.
   */
  readonly missed: number;
  /** For how many entities the source has failed so far. */
  readonly failed: number;
  /** How many events Spark has refused so far. The log has the reasons. */
  readonly refused: number;
  /** Whether the sweep of this source has ended. */
  readonly done: boolean;
}

/** The result of a sweep: the sums over its sources. */
export type SweepReport = Pick<SweepProgress, 'subjects' | 'entered' | 'missed' | 'failed' | 'refused'> & {
  /** How many deliveries stay held: those of groups that were swept for the first time and have more than `activation.limit`. */
  readonly held: number;
  /** How many sources this process did not sweep because another process is sweeping them. */
  readonly elsewhere: number;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
};

type Sums = { -readonly [K in Exclude<keyof SweepReport, 'durationMs'>]: SweepReport[K] };

const LOG_EVERY = 10_000;

/** Goes through all entities of all sources, page by page, and enters the events that live capture could not find. */
export class Sweep {
  private readonly logger = new Logger('Spark');
  private readonly stream = new Stream<SweepProgress>();
  private readonly queue = new SerialQueue();
  /** The slot of the scheduled sweep that waits in the queue. */
  private slot: number | undefined;
  private stopped = false;
  readonly progress$ = this.stream.asObservable();

  constructor(
    private readonly context: BootContext,
    private readonly sources: SourceRegistry,
    private readonly lease: SweepLease,
    private readonly activation: Activation,
    private readonly sweeper: SourceSweeper,
    private readonly clock: SparkClock,
  ) {}

  /** Sweeps the chosen sources, one after the other. Sweeps of one process wait for each other. */
  run(chosen: (source: Source) => boolean = () => true, request: SweepRequest = {}): Promise<SweepReport> {
    return this.enqueue(() => this.sweep(this.sources.all().filter(chosen), request));
  }

  /** Called after a boot: sweeps the sources that no process has swept for the last slot. A new source is first swept at the next slot. */
  async catchUp(slot: number): Promise<void> {
    await this.lease.meet(
      this.sources.all().map(({ name }) => name),
      slot,
    );
    await this.tick(slot);
  }

  /** Called at each slot of the schedule: sweeps the sources that no process has swept for it. It replaces a slot that still waits. */
  async tick(slot: number): Promise<void> {
    const isWaiting = this.slot !== undefined;
    this.slot = slot;
    if (isWaiting) return;
    await this.enqueue(() => this.sweepSlot());
  }

  private enqueue(work: () => Promise<SweepReport>): Promise<SweepReport> {
    return this.context.run(() => this.queue.run(work));
  }

  private sweepSlot(): Promise<SweepReport> {
    const request = { slot: this.slot! };
    this.slot = undefined;
    return this.sweep(this.sources.all(), request);
  }

  /** Ends a running sweep at its next page, and resolves when it has ended. The next sweep continues there. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.queue.ended();
  }

  /** Allows sweeps again after `stop`. */
  resume(): void {
    this.stopped = false;
  }

  private async sweep(sources: readonly Source[], request: SweepRequest): Promise<SweepReport> {
    const started = performance.now();
    const sums: Sums = { subjects: 0, entered: 0, missed: 0, failed: 0, refused: 0, held: 0, elsewhere: 0 };
    let swept = 0;
    for (const source of sources) {
      if (this.stopped) break;
      swept += (await this.sweepSource(source, request, sums)) ? 1 : 0;
    }
    const report = { ...sums, durationMs: Math.round(performance.now() - started) };
    // If another process has swept all sources for the slot, there is nothing to log.
    if (swept > 0 || request.slot === undefined) this.logger.log(wordsOf(report));
    return report;
  }

  /** Returns whether this process has swept the source. */
  private async sweepSource(source: Source, request: SweepRequest, sums: Sums): Promise<boolean> {
    let leased: LeasedSweep | undefined;
    try {
      const taken = await this.lease.take(source.name, request, this.clock.now());
      if (taken === 'elsewhere') this.leaveTo(source, sums);
      if (typeof taken === 'string') return false;
      leased = taken;
      const groups = await this.activation.groupsOf(source.name);
      await this.goThrough({ source, leased, groups, isAllNew: false }, request.slot === undefined, sums);
      await this.lease.leave(leased, false);
    } catch (error) {
      await this.failed(source, leased, error, sums);
    }
    return true;
  }

  /** Sweeps to the end. A sweep by hand then also sweeps from the start to where it began, so that it reads all entities. */
  private async goThrough(sweep: SourceSweep, byHand: boolean, sums: Sums): Promise<void> {
    const { leased, groups } = sweep;
    const { reached: start } = leased;
    const soFar = { subjects: 0, entered: 0, missed: 0, failed: 0, refused: 0 };
    if (start === undefined) return void (await this.lap(sweep, { sums, soFar, isLast: true }));
    // Another version of the source may have swept the part before `start`. So only groups that were met there count as swept at the end.
    const met = unswept(groups);
    const isDone = await this.lap(sweep, { sums, soFar, isLast: !byHand, groups: met });
    if (!byHand || !isDone) return;
    await this.lease.restart(leased, this.clock.now());
    await this.lap(sweep, { sums, soFar, isLast: true, upTo: start });
  }

  /** Sweeps page by page to the end, or up to a key. Returns false if the sweep was stopped before. */
  private async lap(sweep: SourceSweep, { sums, soFar, isLast, groups, upTo }: Lap): Promise<boolean> {
    for await (const page of this.sweeper.pages(sweep, upTo)) {
      if (this.stopped) return false;
      const figures = await this.sweeper.sweep(sweep, page);
      for (const figure of FIGURES) {
        sums[figure] += figures[figure];
        soFar[figure] += figures[figure];
      }
      if (page.isLast) sums.held += await this.sweeper.finish(sweep, groups ?? unswept(sweep.groups));
      this.report(sweep.source, soFar, page.isLast && isLast);
    }
    return true;
  }

  private report({ name, metadata }: Source, soFar: Figures, done: boolean): void {
    this.stream.next({ source: name, entity: metadata.name, ...soFar, done });
    const { subjects, entered } = soFar;
    if (!done && subjects % LOG_EVERY === 0)
      this.logger.log(`Sweep of ${shown(name)}: ${subjects} entities read, ${entered} new events so far.`);
  }

  private leaveTo({ name }: Source, sums: Sums): void {
    sums.elsewhere++;
    this.logger.log(`Another process is sweeping ${shown(name)}; this one skips it.`);
  }

  private async failed(source: Source, leased: LeasedSweep | undefined, error: unknown, sums: Sums): Promise<void> {
    if (error instanceof LostSweep) {
      sums.elsewhere++;
      this.logger.warn(
        `The sweep of ${shown(source.name)} was taken over by another process, because this one was too slow. It goes on there.`,
      );
      return;
    }
    sums.failed++;
    const reason = linesOf(error);
    this.logger.error(
      `The sweep of ${shown(source.name)} failed: Spark could not read its entities. The other sources go on. ${reason}`,
    );
    // The next sweep begins at the start: a page that always fails must not keep the pages before it from being swept.
    if (leased) await this.lease.leave(leased, true).catch(() => undefined);
  }
}

/** One pass over entities of a source. */
interface Lap {
  readonly sums: Sums;
  readonly soFar: { -readonly [K in keyof Figures]: Figures[K] };
  readonly isLast: boolean;
  /** The groups whose first sweep ends with this pass. Default: all groups that have not been through a sweep. */
  readonly groups?: readonly string[];
  /** The key where it ends. Default: the end of the table. */
  readonly upTo?: string;
}

const FIGURES = ['subjects', 'entered', 'missed', 'failed', 'refused'] as const;

const unswept = (groups: ReadonlyMap<string, boolean>): string[] =>
  [...groups].flatMap(([group, isSwept]) => (isSwept ? [] : [group]));

function wordsOf({ subjects, entered, missed, failed, refused, elsewhere, durationMs }: SweepReport): string {
  const words = [
    `Sweep: ${subjects} entities read`,
    `${entered} new events`,
    ...(missed > 0 ? [`${missed} of them missed by live capture`] : []),
    ...(failed + refused > 0 ? [`${failed} entities failed`, `${refused} events refused`] : []),
    ...(elsewhere > 0 ? [`${elsewhere} sources left to other processes`] : []),
    `${durationMs} ms.`,
  ];
  return words.join(', ');
}
