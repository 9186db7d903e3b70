import { setTimeout as delay } from 'node:timers/promises';
import { Subject as Stream } from 'rxjs';
import { SparkLog } from '../common/spark-log.js';
import { SerialQueue } from '../common/serial-queue.js';
import type { BootContext } from '../common/boot-context.js';
import { linesOf, shown } from '../error/text-of.js';
import { keyBehind } from '../entity/subjects.js';
import type { Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import type { SweepRequest, SweepTicket } from '../store/sweep-ticket.js';
import { fingerprintOf } from './changed-rows.js';
import { Pace } from './pace.js';
import type { SomeKeys } from './pages.js';
import { Participant } from './participant.js';
import { Progress } from './progress.js';
import type { Outcome, SweepParts } from './sweep-parts.js';
import { noSums, type Sums, type SweepProgress, type SweepReport, wordsOf } from './sweep-report.js';

/** How this process sweeps. */
export interface SweepSpeed {
  /** How many ranges of a table it sweeps at the same time. */
  readonly concurrency: number;
  /** How many entities a second it reads at most; undefined means without a limit. */
  readonly rate: number | undefined;
}

/** How one call of a sweep differs from the others. */
export interface SweepCallLimits extends Partial<SweepSpeed> {
  /** Ends the call at the next page. */
  readonly signal?: AbortSignal;
}

/** How long a process waits before it looks whether others have left something to sweep, in milliseconds. */
const PAUSE = 100;

/** Goes through all entities of all sources, range by range, and enters the events that live capture could not find. */
export class Sweep {
  private readonly logger = new SparkLog();
  private readonly stream = new Stream<SweepProgress>();
  private readonly queue = new SerialQueue();
  /** The slot of the scheduled sweep that waits in the queue. */
  private slot: number | undefined;
  private stopped = false;
  /** Keeps what helps other processes at the rate of this one. */
  private readonly helpPace: Pace;
  readonly progress$ = this.stream.asObservable();

  constructor(
    private readonly context: BootContext,
    private readonly sources: SourceRegistry,
    private readonly parts: SweepParts,
    private readonly speed: SweepSpeed,
    private readonly version: string | undefined,
  ) {
    this.helpPace = new Pace(speed.rate);
  }

  /** Sweeps the chosen sources. Sweeps of one process wait for each other. Throws the reason of the signal. */
  run(
    chosen: (source: Source) => boolean = () => true,
    request: SweepRequest = {},
    limits: SweepCallLimits = {},
  ): Promise<SweepReport> {
    return this.enqueue(() => this.sweep(this.sources.all().filter(chosen), request, limits));
  }

  /**
   * Sweeps some of the entities of the chosen sources, by this process alone, and beside all other sweeps. Throws the reason of the
   * signal.
   */
  runApart(chosen: (source: Source) => boolean, some: SomeKeys, limits: SweepCallLimits): Promise<SweepReport> {
    return this.enqueue(() => this.sweepApart(this.sources.all().filter(chosen), some, limits));
  }

  /** Called after a boot: sweeps the sources that no process has swept for the last slot. A new source is first swept at the next slot. */
  async catchUp(slot: number): Promise<void> {
    const { rows, dataSource } = this.parts;
    for (const { name } of this.sources.all()) await rows.missedNothing(dataSource.manager, name, slot);
    await this.tick(slot);
  }

  /** Called at each slot of the schedule: sweeps the sources that no process has swept for it. It replaces a slot that still waits. */
  async tick(slot: number): Promise<void> {
    const isWaiting = this.slot !== undefined;
    this.slot = slot;
    if (isWaiting) return;
    await this.enqueue(() => this.sweepSlot());
  }

  /**
   * Sweeps the next range of a sweep that other processes are running. It begins no sweep, and ends none. It waits for sweeps of this process.
   * Returns whether there was a range.
   */
  help(name: string): Promise<boolean> {
    return this.enqueue(async () => {
      const source = this.sources.named(name);
      if (!source || this.stopped) return false;
      const limits = { concurrency: 1, pace: this.helpPace, isStopped: () => this.stopped };
      const by = new Participant(this.parts, source, limits, new Progress(source, this.stream), noSums());
      return by.help(this.ticket(source, { helps: true }));
    });
  }

  private enqueue<T>(work: () => Promise<T>): Promise<T> {
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

  /** Sweeps sources. While other processes sweep the rest of one source, it sweeps the next one. */
  private async sweep(sources: readonly Source[], request: SweepRequest, limits = {}): Promise<SweepReport> {
    const report = this.begin(limits);
    const all = sources.map((source) => ({ by: report.participant(source), ticket: this.ticket(source, request) }));
    for (let left = all; left.length > 0 && !report.isStopped();) {
      const waiting = [];
      for (const one of left) {
        if (report.isStopped()) break;
        if ((await this.outcome(one.by, report.sums, () => one.by.sweep(one.ticket))) === 'wait') waiting.push(one);
      }
      if (waiting.length > 0) await delay(PAUSE);
      left = waiting;
    }
    // If another process has swept all sources for the slot, there is nothing to log.
    return report.end(all.some(({ by }) => by.hasSwept) || request.slot === undefined);
  }

  private async sweepApart(sources: readonly Source[], some: SomeKeys, limits = {}): Promise<SweepReport> {
    const report = this.begin(limits);
    for (const source of sources) {
      if (report.isStopped()) break;
      const by = report.participant(source);
      await this.outcome(by, report.sums, () => by.sweepApart(some));
    }
    return report.end(true);
  }

  private begin({ signal, ...speed }: SweepCallLimits) {
    const started = performance.now();
    const sums = noSums();
    const { concurrency, rate } = { ...this.speed, ...speed };
    const isStopped = () => this.stopped || signal?.aborted === true;
    const limits = { concurrency, pace: new Pace(rate), isStopped };
    return {
      sums,
      isStopped,
      participant: (source: Source) =>
        new Participant(this.parts, source, limits, new Progress(source, this.stream), sums),
      end: (isLogged: boolean): SweepReport => {
        const report = { ...sums, durationMs: Math.round(performance.now() - started) };
        if (isLogged) this.logger.log(wordsOf(report), { ...report });
        signal?.throwIfAborted();
        return report;
      },
    };
  }

  private ticket(source: Source, request: SweepRequest): SweepTicket {
    const { changed } = this.parts;
    return {
      source: source.name,
      request,
      fingerprint: fingerprintOf(source, this.version),
      plan: (manager, past) => changed.plan(manager, source, past),
      keyBehind: (manager, after, rows) => keyBehind(manager, source, after, rows),
      target: undefined,
      lockedSince: undefined,
    };
  }

  private async outcome({ source }: Participant, sums: Sums, work: () => Promise<Outcome>): Promise<Outcome> {
    try {
      const outcome = await work();
      if (outcome === 'elsewhere') this.leaveTo(source, sums);
      if (outcome === 'paused') sums.paused++;
      return outcome;
    } catch (error) {
      sums.failed++;
      this.logger.error(
        `The sweep of ${shown(source.name)} failed: Spark could not read its entities. The other sources go on. ${linesOf(error)}`,
        { source: source.name, error },
      );
      return 'gone';
    }
  }

  private leaveTo({ name }: Source, sums: Sums): void {
    sums.elsewhere++;
    this.logger.log(`Another process is sweeping another version of ${shown(name)}; this one skips it.`, {
      source: name,
    });
  }
}
