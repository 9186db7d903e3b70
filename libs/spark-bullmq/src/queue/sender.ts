import { type ConnectionOptions, type Queue, QueueEvents } from 'bullmq';
import type { CarriedDelivery, CarriedHandler } from 'nestjs-spark';
import type { QueueSettings } from '../options/settings.js';
import { closeSoon } from '../redis/close-soon.js';
import { type JobData, jobsOf } from './jobs.js';
import { openQueue, type QueueParts } from './open-queue.js';
import { UnderWay } from './under-way.js';

// How much of a window has to be free before Spark is woken: each look for deliveries should find many.
const WORTH_WAKING = 1 / 4;
// How many stale jobs are removed at once.
const MOST_STALE = 10_000;

/** What a sender needs. */
export interface SenderParts extends QueueParts {
  /** How its second connection, which waits for events, is made. */
  readonly connection: ConnectionOptions;
  readonly ttl: number;
  /** There is room again. */
  readonly wake: () => void;
  /** So many deliveries were on their way for longer than `ttl`. */
  readonly onExpired: (count: number) => void;
}

/** Sends deliveries to one queue, and counts those that are on their way. */
export class Sender {
  private readonly underWay = new UnderWay();
  /** Handlers that had no room. */
  private readonly full = new Set<string>();
  private queue: Queue<JobData> | undefined;
  private events: QueueEvents | undefined;
  private isClosed = false;

  constructor(
    private readonly settings: QueueSettings,
    private readonly parts: SenderParts,
  ) {}

  /** Opens the queue, or prepares it again. Redis has to be there. */
  async open(): Promise<void> {
    const { name, globalConcurrency } = this.settings;
    const { client, connection, prefix, onError } = this.parts;
    this.queue ??= await openQueue<JobData>(name, this.parts);
    if (globalConcurrency !== undefined) await this.queue.setGlobalConcurrency(globalConcurrency);
    if (this.events || this.isClosed) return;
    // Without it, what ends before the first read would be missed.
    const [last] = await client.xrevrange(this.queue.toKey('events'), '+', '-', 'COUNT', 1);
    if (this.isClosed) return;
    this.events = new QueueEvents(name, { connection, prefix, lastEventId: last?.[0] ?? '0-0' });
    this.events.on('error', onError);
    this.events.on('completed', ({ jobId }) => this.ended(jobId));
    this.events.on('failed', ({ jobId }) => this.ended(jobId));
  }

  /** How many more deliveries of a handler may be on their way. */
  room({ name }: CarriedHandler): number {
    this.expire();
    const room = Math.max(0, this.settings.window - this.underWay.of(name));
    if (room === 0) this.full.add(name);
    return room;
  }

  async send(deliveries: readonly CarriedDelivery[]): Promise<void> {
    const jobs = jobsOf(deliveries, this.settings.idsPerJob);
    const until = performance.now() + this.parts.ttl;
    // Before they are sent, because they may end before the answer.
    for (const { data, opts } of jobs)
      this.underWay.add(opts.jobId, { handler: data.handler, count: data.ids.length, until });
    try {
      await this.queue!.addBulk(jobs);
    } catch (error) {
      for (const { opts } of jobs) this.underWay.remove(opts.jobId);
      throw error;
    }
  }

  /** Removes jobs that Spark has sent again, so that the memory of Redis is bounded where no process takes them up. */
  async removeStale(): Promise<void> {
    this.expire();
    await this.queue?.clean(this.parts.ttl, MOST_STALE, 'prioritized');
  }

  /** Nothing is on its way any more. */
  forget(): void {
    this.underWay.clear();
    this.full.clear();
  }

  /** The connection that it sends by stays open. */
  async close(isThere: boolean): Promise<void> {
    this.isClosed = true;
    const { events } = this;
    if (events) await closeSoon(events.close(), events.getBackend(), isThere);
  }

  private expire(): void {
    const expired = this.underWay.expire(performance.now());
    if (expired > 0) this.parts.onExpired(expired);
  }

  private ended(jobId: string): void {
    const handler = this.underWay.remove(jobId);
    if (handler === undefined || !this.full.has(handler)) return;
    const { window } = this.settings;
    if (window - this.underWay.of(handler) < window * WORTH_WAKING) return;
    this.full.delete(handler);
    this.parts.wake();
  }
}
