import type { Queue } from 'bullmq';
import type { CarrierPort } from 'nestjs-spark';
import { JobWorker, type WorkerParts } from './job-worker.js';
import { openQueue, type QueueParts } from './open-queue.js';

// How many stale jobs are removed at once.
const MOST_STALE = 10_000;

/** What a job of a range has in Redis: whoever takes it takes the next range of the source from the database. */
interface RangeData {
  readonly source: string;
}

/** Sends jobs that stand for ranges of sweeps. */
export class RangeSender {
  private queue: Queue<RangeData> | undefined;

  constructor(
    private readonly name: string,
    private readonly ttl: number,
    private readonly parts: QueueParts,
  ) {}

  /** Opens the queue. Redis has to be there. */
  async open(): Promise<void> {
    this.queue ??= await openQueue<RangeData>(this.name, this.parts);
  }

  /** Lets so many jobs of a source be in the queue. Those that are there already are not sent again: a job has the same id each time. */
  async send(source: string, count: number): Promise<void> {
    const jobs = Array.from({ length: count }, (_, i) => ({
      name: source,
      data: { source },
      // An id has no colon.
      opts: { jobId: `${encodeURIComponent(source)}-${i + 1}` },
    }));
    await this.queue?.addBulk(jobs);
  }

  /** Removes jobs that no process has taken up for the carrier's `ttl`. */
  async removeStale(): Promise<void> {
    for (const state of ['wait', 'delayed'] as const) await this.queue?.clean(this.ttl, MOST_STALE, state);
  }
}

/** Takes jobs of ranges, one at a time, and lets Spark sweep a range for each. */
export function rangeWorker(name: string, port: CarrierPort, parts: WorkerParts): JobWorker {
  return new JobWorker(name, { concurrency: 1 }, parts, (data) => {
    const { source } = (data ?? {}) as Partial<RangeData>;
    if (typeof source !== 'string') return undefined;
    return port.sources.includes(source) ? port.sweepRange(source) : 'later';
  });
}
