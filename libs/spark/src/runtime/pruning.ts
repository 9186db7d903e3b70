import { type PruneRun, Retention, RETENTION } from '../store/retention.js';
import type { KeptTimes, Pruned } from '../store/retention-rows.js';
import type { Spark } from './create-spark.js';

/** Removes old rows by hand: at once, and by times that need not be those of the module. */
export class Pruning {
  private readonly retention: Retention;

  constructor(
    private readonly spark: Pick<
      Spark,
      'chores' | 'clock' | 'failedAttempts' | 'sweepRows' | 'tables' | 'transactions'
    >,
    times: KeptTimes,
  ) {
    const { failedAttempts, sweepRows, tables, transactions } = spark;
    this.retention = new Retention(transactions, tables, failedAttempts, sweepRows, times);
  }

  /** Counts what `prune` would remove now. */
  count(run: PruneRun): Promise<Pruned> {
    return this.retention.count(this.spark.clock.now(), run);
  }

  /** Removes what is old. Returns undefined if another process is removing old rows, or has taken that over. */
  async prune(run: PruneRun): Promise<Pruned | undefined> {
    const { chores, clock } = this.spark;
    let pruned: Pruned | undefined;
    const isDone = await chores.run(RETENTION, 0, async (confirm) => {
      pruned = await this.retention.prune(clock.now(), { ...run, confirm });
    });
    return isDone ? pruned : undefined;
  }
}
