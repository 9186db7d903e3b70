import { Logger } from '@nestjs/common';
import type { Transactions } from '../dialect/transactions.js';
import type { SparkClock } from '../clock.js';
import type { Deliveries, Done } from './deliveries.js';

const MOST = 500;

/** Collects completions while one is on its way, so that many deliveries share a statement. */
export class Completions {
  private readonly logger = new Logger('Spark');
  private waiting: { done: Done; settle: (ours: boolean) => void }[] = [];
  private flushing: Promise<void> | undefined;
  /** How many completions came too late: another process had taken the delivery over. */
  fenced = 0;

  constructor(
    private readonly transactions: Transactions,
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
        const ours = await this.complete(part.map(({ done }) => done));
        for (const { done, settle } of part) settle(ours.has(done.delivery.id));
      }
    }
    this.flushing = undefined;
  }

  /** The ids of those that were still ours. */
  private async complete(done: readonly Done[]): Promise<Set<string>> {
    try {
      const now = this.clock.now();
      return await this.transactions.run(async (manager) => {
        const ours = await this.deliveries.complete(manager, done, now);
        this.fenced += done.length - ours;
        if (ours === done.length) return new Set(done.map(({ delivery }) => delivery.id));
        return this.deliveries.completedBy(
          manager,
          done.map(({ delivery }) => delivery),
        );
      });
    } catch (error) {
      // They stay claimed until this process's lease ends, and are handled again.
      this.logger.error(`${done.length} deliveries could not be completed: ${(error as Error).message}`);
      return new Set();
    }
  }
}
