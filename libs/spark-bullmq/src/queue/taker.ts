import type { CarriedHandler, CarrierPort } from 'nestjs-spark';
import type { QueueSettings } from '../options/settings.js';
import { isJobData, type JobData } from './jobs.js';
import { JobWorker, type WorkerParts } from './job-worker.js';

/** Takes jobs from one queue, and lets Spark handle their deliveries. */
export class Taker {
  /** How many jobs of each handler are here. */
  private readonly held = new Map<string, number>();
  readonly worker: JobWorker;

  constructor(
    private readonly settings: QueueSettings,
    /** The handlers of this queue that this process has. */
    private readonly handlers: readonly CarriedHandler[],
    private readonly port: CarrierPort,
    parts: WorkerParts,
  ) {
    const { name, rateLimit } = settings;
    const concurrency = handlers.reduce((sum, handler) => sum + this.mostOf(handler), 0);
    const options = { concurrency, ...(rateLimit && { limiter: { ...rateLimit } }) };
    this.worker = new JobWorker(name, options, parts, (data) => this.begin(data));
  }

  /** How many jobs of a handler may be here. */
  private mostOf({ concurrency }: CarriedHandler): number {
    const { concurrency: given, idsPerJob } = this.settings;
    return given ?? Math.max(2, Math.ceil((2 * concurrency) / idsPerJob));
  }

  private begin(data: unknown): Promise<void> | 'later' | undefined {
    // Others may write to the queue, too.
    if (!isJobData(data)) return undefined;
    const own = this.handlers.find(({ name }) => name === data.handler);
    if (!own || this.hasEnough(own)) return 'later';
    return this.handle(data);
  }

  /** A queue with limits keeps what it has: a job that begins twice counts twice. */
  private hasEnough(handler: CarriedHandler): boolean {
    const { rateLimit, globalConcurrency } = this.settings;
    if (rateLimit ?? globalConcurrency) return false;
    return (this.held.get(handler.name) ?? 0) >= this.mostOf(handler);
  }

  private async handle({ handler, ids }: JobData): Promise<void> {
    this.held.set(handler, (this.held.get(handler) ?? 0) + 1);
    await this.port.handle(ids.map((id) => ({ id, handler })));
    this.held.set(handler, this.held.get(handler)! - 1);
  }
}
