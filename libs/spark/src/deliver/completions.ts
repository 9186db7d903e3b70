import type { EntityManager } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import type { Transactions } from '../database/transactions.js';
import type { SparkClock } from '../common/clock.js';
import { linesOf } from '../error/text-of.js';
import { type Deliveries, type Done, isOfDigest } from '../store/deliveries.js';
import type { WorkerLease } from '../store/worker-lease.js';
import { Together } from './together.js';

/** Completes deliveries, many with each statement. */
export class Completions {
  private readonly logger = new SparkLog();
  private readonly together = new Together<Done>((done) => this.complete(done));

  constructor(
    private readonly transactions: Transactions,
    private readonly lease: WorkerLease,
    private readonly deliveries: Deliveries,
    private readonly clock: SparkClock,
  ) {}

  /** Completes a delivery with the next statement. After the commit it calls `settled` with whether the delivery was still ours. */
  add(done: Done, settled: (isOurs: boolean | undefined) => void): void {
    this.together.add(done, settled);
  }

  /** Completes deliveries. Returns the ids of those that were still ours. */
  private async complete(done: readonly Done[]): Promise<Set<string>> {
    const now = this.clock.now();
    const complete = (manager: EntityManager) => this.deliveries.complete(manager, done, now);
    const needsMore = done.some(isOfDigest);
    try {
      return await this.lease.insist(() =>
        needsMore ? this.transactions.run(complete) : this.transactions.runShort(complete),
      );
    } catch (error) {
      this.logger.error(
        `${done.length} deliveries could not be completed, and will be handled again: ${linesOf(error)}`,
        { deliveries: done.length, error },
      );
      return new Set();
    }
  }
}
