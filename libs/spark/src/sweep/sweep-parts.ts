import type { DataSource } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { Source } from '../source/source.js';
import type { Activation } from '../store/activation.js';
import type { SweepRows } from '../store/sweep-rows.js';
import type { SweepShare, Taken } from '../store/sweep-ticket.js';
import type { Sweeps } from '../store/sweeps.js';
import type { ChangedRows } from './changed-rows.js';
import type { Pace } from './pace.js';
import type { SourceSweeper } from './source-sweeper.js';

/** The parts that sweep the sources of one SparkModule. */
export interface SweepParts {
  readonly dataSource: DataSource;
  readonly sweeps: Sweeps;
  readonly rows: SweepRows;
  readonly activation: Activation;
  readonly changed: ChangedRows;
  readonly sweeper: SourceSweeper;
  readonly clock: SparkClock;
  /** How many rows the table of a source has, by the statistics of the database. */
  readonly rowsOf: (source: Source) => Promise<number | undefined>;
  /** How long a range belongs to a process that does not extend it, in milliseconds. */
  readonly ttl: number;
  /** Asks other processes to sweep some of so many ranges of a source. */
  readonly askForHelp: (source: string, ranges: number) => void;
}

/** How this process sweeps. */
export interface SweepLimits {
  /** How many ranges it sweeps at the same time. */
  readonly concurrency: number;
  readonly pace: Pace;
  readonly isStopped: () => boolean;
}

/** How the part of this process in a sweep has ended: `gone` if it was stopped, or if too much has failed. */
export type Outcome = Exclude<Taken, SweepShare> | 'gone';
