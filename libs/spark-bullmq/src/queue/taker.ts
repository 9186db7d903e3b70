import { hostname } from 'node:os';
import { type ConnectionOptions, DelayedError, type Job, Worker } from 'bullmq';
import type { CarriedHandler, CarrierPort } from 'nestjs-spark';
import type { QueueSettings } from '../options/settings.js';
import { closeSoon } from '../redis/close-soon.js';
import { isJobData, type JobData } from './jobs.js';

// How long a job waits that this process has no place for, in milliseconds, before any process may take it again.
const PAUSE = 250;
// BullMQ takes a job back from a process that does not renew its lock. It may do so as often as it likes: the database counts attempts.
const OFTEN = 1_000_000;
// BullMQ waits for so long after an error of the connection, in milliseconds. Its default is 15 seconds.
const RETRY = 1_000;

/** What a taker needs. */
export interface TakerParts {
  readonly port: CarrierPort;
  readonly connection: ConnectionOptions;
  readonly prefix: string;
  readonly onError: (error: unknown) => void;
}

/** Takes jobs from one queue, and lets Spark handle their deliveries. */
export class Taker {
  private worker: Worker<JobData> | undefined;
  /** How many jobs of each handler are here. */
  private readonly held = new Map<string, number>();
  private readonly running = new Set<Promise<unknown>>();
  private isStopping = false;

  constructor(
    private readonly settings: QueueSettings,
    /** The handlers of this queue that this process has. */
    private readonly handlers: readonly CarriedHandler[],
    private readonly parts: TakerParts,
  ) {}

  /** Takes jobs up, for the first time or again. Redis has to be there. */
  async open(): Promise<void> {
    if (this.isStopping) return;
    if (this.worker) await this.worker.resume();
    else this.worker = this.makeWorker();
  }

  /** Takes nothing more up. BullMQ would ask a Redis that refuses commands without a rest. */
  async pause(): Promise<void> {
    await this.worker?.pause(true);
  }

  /** Takes nothing more up. Resolves when what was taken up has ended. */
  async stop(): Promise<void> {
    this.isStopping = true;
    await this.worker?.pause(true);
    while (this.running.size > 0) await Promise.all(this.running);
  }

  async close(isThere: boolean): Promise<void> {
    const { worker } = this;
    if (worker) await closeSoon(worker.close(!isThere), worker.getBackend(), isThere);
  }

  private makeWorker(): Worker<JobData> {
    const { name, rateLimit, idsPerJob } = this.settings;
    const { connection, prefix, onError } = this.parts;
    const concurrency = this.handlers.reduce((sum, handler) => sum + this.mostOf(handler, idsPerJob), 0);
    const worker = new Worker<JobData>(name, (job, token) => this.take(job, token!), {
      name: `${hostname()}-${process.pid}`,
      connection,
      prefix,
      concurrency,
      maxStalledCount: OFTEN,
      runRetryDelay: RETRY,
      ...(rateLimit && { limiter: { ...rateLimit } }),
    });
    return worker.on('error', onError);
  }

  /** How many jobs of a handler may be here. */
  private mostOf({ concurrency }: CarriedHandler, idsPerJob: number): number {
    return this.settings.concurrency ?? Math.max(2, Math.ceil((2 * concurrency) / idsPerJob));
  }

  private async take(job: Job<JobData>, token: string): Promise<void> {
    // Others may write to the queue, too: such a job ends here.
    if (!isJobData(job.data)) return;
    const { handler } = job.data;
    const own = this.handlers.find(({ name }) => name === handler);
    if (!own || this.hasEnough(own)) return putOff(job, token);
    const handling = this.handle(job.data).finally(() => this.running.delete(handling));
    this.running.add(handling);
    await handling;
  }

  /** A queue with limits keeps what it has: a job that begins twice counts twice. */
  private hasEnough(handler: CarriedHandler): boolean {
    const { rateLimit, globalConcurrency, idsPerJob } = this.settings;
    if (rateLimit ?? globalConcurrency) return false;
    return (this.held.get(handler.name) ?? 0) >= this.mostOf(handler, idsPerJob);
  }

  private async handle({ handler, ids }: JobData): Promise<void> {
    this.held.set(handler, (this.held.get(handler) ?? 0) + 1);
    await this.parts.port.handle(ids.map((id) => ({ id, handler })));
    this.held.set(handler, this.held.get(handler)! - 1);
  }
}

/** Any process may take it in a moment: this one has enough jobs of the handler, or does not know it. */
async function putOff(job: Job<JobData>, token: string): Promise<never> {
  await job.moveToDelayed(Date.now() + PAUSE * (1 + Math.random()), token);
  throw new DelayedError();
}
