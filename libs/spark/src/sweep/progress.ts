import type { Subject as Stream } from 'rxjs';
import { SparkLog } from '../common/spark-log.js';
import { shown } from '../error/text-of.js';
import type { Source } from '../source/source.js';
import type { SweepShare } from '../store/sweep-ticket.js';
import type { SweepProgress } from './sweep-report.js';
import type { Figures } from './source-sweeper.js';

const LOG_EVERY = 10_000;
export const FIGURES = ['subjects', 'entered', 'missed', 'failed', 'refused'] as const;

type Counts = { -readonly [K in keyof Figures]: Figures[K] };

/** How far the sweep of a source is: what this process has done, and how much all processes have passed. */
export class Progress {
  private readonly logger = new SparkLog();
  private readonly counts: Counts = { subjects: 0, entered: 0, missed: 0, failed: 0, refused: 0 };
  private readonly shares = new Set<SweepShare>();
  private round: number | undefined;
  /** How many rows the completed ranges have. */
  private completed = 0;
  /** How many rows had been passed when this process began, and when that was, by `performance.now()`. */
  private start = { passed: 0, at: performance.now() };
  /** The page that may be the last one. */
  private isDue = false;
  /** How many rows the table has, as far as is known. */
  total: number | undefined;

  constructor(
    private readonly source: Source,
    private readonly stream: Stream<SweepProgress>,
  ) {}

  begin(share: SweepShare): void {
    const { number, passed } = share.round;
    this.completed = passed;
    this.shares.add(share);
    if (this.round === number) return;
    this.round = number;
    this.start = { passed, at: performance.now() };
  }

  /** Adds a page. The last page of a table is reported when it is known whether the sweep has ended. */
  add(share: SweepShare, figures: Figures, isLast: boolean): void {
    const before = this.counts.subjects;
    for (const figure of FIGURES) this.counts[figure] += figures[figure];
    const { range } = share;
    if (isLast) {
      this.shares.delete(share);
      this.completed += range.size ?? range.subjects;
    }
    this.isDue = isLast && range.upTo === undefined;
    if (!this.isDue) this.report(false);
    if (Math.floor(before / LOG_EVERY) < Math.floor(this.counts.subjects / LOG_EVERY)) this.log();
  }

  /** How many rows no process has passed, as far as is known. */
  get left(): number | undefined {
    const { passed, total } = this.pace();
    return total === undefined ? undefined : total - passed;
  }

  drop(share: SweepShare): void {
    this.shares.delete(share);
  }

  /** Reports the end of the sweep, or of the part of this process. */
  end(done: boolean): void {
    if (this.isDue || done) this.report(done);
    this.isDue = false;
  }

  private report(done: boolean): void {
    const { name, metadata } = this.source;
    this.stream.next({ source: name, entity: metadata.name, ...this.counts, ...this.pace(), done });
  }

  private pace(): Pick<SweepProgress, 'passed' | 'total' | 'rate' | 'timeLeft'> {
    let passed = this.completed;
    for (const { range } of this.shares) passed += Math.min(range.subjects, range.size ?? Infinity);
    const total = this.total === undefined ? undefined : Math.max(this.total, passed);
    const seconds = (performance.now() - this.start.at) / 1_000;
    const rate = seconds > 0 ? Math.round((passed - this.start.passed) / seconds) : 0;
    const timeLeft = total === undefined || rate === 0 ? undefined : Math.round(((total - passed) / rate) * 1_000);
    return { passed, total, rate, timeLeft };
  }

  private log(): void {
    const { subjects, entered } = this.counts;
    const { passed, total, rate, timeLeft } = this.pace();
    const part = total === undefined ? '' : ` ${passed} of about ${total} rows passed,`;
    const left = timeLeft === undefined ? '' : `, about ${Math.ceil(timeLeft / 1_000)} seconds left`;
    this.logger.log(
      `Sweep of ${shown(this.source.name)}: ${subjects} entities read, ${entered} new events so far;${part} ${rate} rows a second${left}.`,
      { source: this.source.name, subjects, entered, passed, total, rate, timeLeft },
    );
  }
}
