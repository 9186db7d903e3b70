import type { Recorder } from '../record/recorder.js';
import type { SparkClock } from '../common/clock.js';
import type { DataSource } from 'typeorm';
import type { Transactions } from '../database/transactions.js';
import type { Source } from '../source/source.js';
import type { Conditions } from '../store/conditions.js';

const PAGE = 500;

/**
 * Removes the conditions of rows that are gone, at the end of a sweep. A sweep reads only rows that are there, and a condition whose
 * event has happened waits for no recheck.
 */
export class GoneConditions {
  constructor(
    private readonly dataSource: DataSource,
    private readonly transactions: Transactions,
    private readonly recorder: Recorder,
    private readonly conditions: Conditions,
    private readonly clock: SparkClock,
  ) {}

  async remove(source: Source): Promise<void> {
    if (!source.options.trueFor) return;
    for (let after = '0', isEnd = false; !isEnd;) {
      const page = await this.conditions.page(this.dataSource.manager, source, after, PAGE);
      const now = this.clock.now();
      const gone = await this.recorder.deriveGone(this.dataSource.manager, source, page, now);
      if (!gone.conditions.isEmpty)
        await this.transactions.run((manager) =>
          this.recorder.enter(manager, gone, now, { likelyNew: false, changesNothing: true }),
        );
      after = page.at(-1)?.id ?? after;
      isEnd = page.length < PAGE;
    }
  }
}
