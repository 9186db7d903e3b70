import { Logger } from '@nestjs/common';
import { Subject as Stream } from 'rxjs';
import type { DataSource } from 'typeorm';
import type { SparkClock } from '../clock.js';
import { withRunner } from '../dialect/statement.js';
import type { Transactions } from '../dialect/transactions.js';
import type { Recorded, Recorder } from '../pipeline/recorder.js';
import type { Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import { pageOfKeys } from '../subject/subjects.js';
import { textOf } from '../error/text-of.js';

/** How far a sweep has come with one source. */
export interface SweepProgress {
  /** The source's name. */
  readonly source: string;
  /** The entity's name. */
  readonly entity: string;
  /** How many entities were read so far. */
  readonly subjects: number;
  /** How many events were new so far. */
  readonly entered: number;
  /** How many entities the source threw at so far. */
  readonly failed: number;
  /** How many events were refused so far; the log says why. */
  readonly refused: number;
  readonly done: boolean;
}

/** What a sweep did: the sums over its sources. */
export type SweepReport = Pick<SweepProgress, 'subjects' | 'entered' | 'failed' | 'refused'> & {
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
};

const PAGE = 500;
const LOG_EVERY = 10_000;

/** Goes through all entities of all sources, page by page, and enters what live capture could not see. */
export class Sweep {
  private readonly logger = new Logger('Spark');
  private readonly stream = new Stream<SweepProgress>();
  private turn: Promise<unknown> = Promise.resolve();
  private stopped = false;
  readonly progress$ = this.stream.asObservable();

  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly sources: SourceRegistry,
    private readonly recorder: Recorder,
    private readonly clock: SparkClock,
    private readonly announce: (recorded: Recorded) => void,
  ) {}

  /** Sweeps the sources that are chosen, one after the other. Sweeps of one process queue up. */
  run(chosen: (source: Source) => boolean = () => true): Promise<SweepReport> {
    const run = this.turn.then(() => this.sweep(this.sources.all().filter(chosen)));
    this.turn = run.catch(() => undefined);
    return run;
  }

  /** Ends a sweep under way at its next page; resolves when it has ended. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.turn;
  }

  private async sweep(sources: readonly Source[]): Promise<SweepReport> {
    const started = performance.now();
    const report = { subjects: 0, entered: 0, failed: 0, refused: 0 };
    for (const source of sources) {
      const { subjects, entered, failed, refused } = await this.sweepSource(source).catch((error: unknown) => {
        const reason = textOf(error);
        this.logger.error(`${source.name} failed: its entities could not be read. The other sources go on. ${reason}`);
        return { subjects: 0, entered: 0, failed: 1, refused: 0 };
      });
      report.subjects += subjects;
      report.entered += entered;
      report.failed += failed;
      report.refused += refused;
    }
    const durationMs = Math.round(performance.now() - started);
    const { subjects, entered, failed, refused } = report;
    const trouble = failed + refused > 0 ? `, ${failed} entities failed, ${refused} events refused` : '';
    this.logger.log(`Sweep: ${subjects} entities read, ${entered} new events${trouble}, ${durationMs} ms.`);
    return { ...report, durationMs };
  }

  private async sweepSource(source: Source): Promise<SweepProgress> {
    const { name, metadata } = source;
    let progress: SweepProgress = {
      source: name,
      entity: metadata.name,
      subjects: 0,
      entered: 0,
      failed: 0,
      refused: 0,
      done: false,
    };
    for (let after: string | undefined; !progress.done && !this.stopped;) {
      const keys = await withRunner(this.dataSource.manager, ({ manager }) => pageOfKeys(manager, source, after, PAGE));
      const page = await this.sweepPage(source, keys);
      after = keys.at(-1);
      progress = {
        ...progress,
        subjects: progress.subjects + keys.length,
        entered: progress.entered + page.entered,
        failed: progress.failed + page.failed,
        refused: progress.refused + page.refused,
        done: keys.length < PAGE,
      };
      this.tell(progress);
    }
    return progress;
  }

  /** Derives from committed state, then enters in a transaction of its own: a source that waits holds nobody up. */
  private async sweepPage(source: Source, keys: readonly string[]) {
    if (keys.length === 0) return { entered: 0, failed: 0, refused: 0 };
    const now = this.clock.now();
    const derivation = await withRunner(this.dataSource.manager, ({ manager }) =>
      this.recorder.derive(manager, [source], keys, now),
    );
    const { failures, refused } = derivation;
    if (failures.length > 0) this.recorder.retries(failures, now);
    const recorded = await this.transactions.run((manager) => this.recorder.enter(manager, derivation, now));
    this.announce(recorded);
    return { entered: recorded.events.length, failed: failures.length, refused: refused.length };
  }

  private tell(progress: SweepProgress): void {
    this.stream.next(progress);
    const { source, subjects, entered, done } = progress;
    if (!done && subjects % LOG_EVERY === 0)
      this.logger.log(`Sweep of ${source}: ${subjects} entities read, ${entered} new events so far.`);
  }
}
