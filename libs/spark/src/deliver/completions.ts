import type { EntityManager } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import type { Transactions } from '../database/transactions.js';
import type { SparkClock } from '../common/clock.js';
import { linesOf } from '../error/text-of.js';
import { type Deliveries, type Done, isOfDigest } from '../store/deliveries.js';
import type { WorkerLease } from '../store/worker-lease.js';

interface Waiting {
  readonly done: Done;
  readonly settled: (isOurs: boolean) => void;
}

const MOST = 1_000;

/** Collects completions while a statement is running, so that the next statement completes many deliveries. */
export class Completions {
  private readonly logger = new SparkLog();
  private waiting: Waiting[] = [];
  private flushing: Promise<void> | undefined;

  constructor(
    private readonly transactions: Transactions,
    private readonly lease: WorkerLease,
    private readonly deliveries: Deliveries,
    private readonly clock: SparkClock,
  ) {}

  /** Completes a delivery with the next statement. After the commit it calls `settled` with whether the delivery was still ours. */
  add(done: Done, settled: (isOurs: boolean) => void): void {
    this.waiting.push({ done, settled });
    this.flushing ??= this.flush();
  }

  private async flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, MOST);
      for (const part of alike(batch)) {
        const ours = await this.complete(part);
        for (const { done, settled } of part) settled(ours.has(done.delivery.id));
      }
    }
    this.flushing = undefined;
  }

  /** Completes deliveries. Returns the ids of those that were still ours. */
  private async complete(part: readonly Waiting[]): Promise<Set<string>> {
    const done = part.map((waiting) => waiting.done);
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

/** Splits deliveries into parts of one lease and one attempt each, because one fence names one of each. Usually there is one part. */
function* alike(batch: readonly Waiting[]): Iterable<readonly Waiting[]> {
  let left = batch;
  while (left.length > 0) {
    const { worker, attempt } = left[0]!.done.delivery;
    const isAlike = ({ done: { delivery } }: Waiting) => delivery.worker === worker && delivery.attempt === attempt;
    yield left.filter(isAlike);
    left = left.filter((one) => !isAlike(one));
  }
}
