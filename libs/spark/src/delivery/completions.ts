import { Logger } from '@nestjs/common';
import type { Transactions } from '../dialect/transactions.js';
import type { SparkClock } from '../clock.js';
import { textOf } from '../error/text-of.js';
import type { Deliveries, Done } from './deliveries.js';
import type { WorkerLease } from './worker-lease.js';

interface Waiting {
  readonly done: Done;
  readonly settle: (ours: boolean) => void;
}

const MOST = 1_000;

/** Collects completions while one is on its way, so that many deliveries share a statement. */
export class Completions {
  private readonly logger = new Logger('Spark');
  private waiting: Waiting[] = [];
  private flushing: Promise<void> | undefined;

  constructor(
    private readonly transactions: Transactions,
    private readonly lease: WorkerLease,
    private readonly deliveries: Deliveries,
    private readonly clock: SparkClock,
  ) {}

  /** Completes a delivery with the next statement. Resolves when that has committed, with whether it was still ours. */
  add(done: Done): Promise<boolean> {
    return new Promise((resolve) => {
      this.waiting.push({ done, settle: resolve });
      this.flushing ??= this.flush();
    });
  }

  private async flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, MOST);
      // The fence names one lease: those from before it was replaced go by themselves.
      for (const worker of new Set(batch.map(({ done }) => done.delivery.worker))) {
        const part = batch.filter(({ done }) => done.delivery.worker === worker);
        const ours = await this.complete(worker, part);
        for (const { done, settle } of part) settle(ours.has(done.delivery.id));
      }
    }
    this.flushing = undefined;
  }

  /** The ids of those that were still ours. */
  private async complete(worker: string, part: readonly Waiting[]): Promise<Set<string>> {
    const done = part.map((waiting) => waiting.done);
    const now = this.clock.now();
    try {
      return await this.lease.insist(worker, () =>
        this.transactions.runShort((manager) => this.deliveries.complete(manager, done, now)),
      );
    } catch (error) {
      this.logger.error(`${done.length} deliveries could not be completed and are handled again: ${textOf(error)}`);
      return new Set();
    }
  }
}
