import { hostname } from 'node:os';
import { type ConnectionOptions, DelayedError, type Job, Worker, type WorkerOptions } from 'bullmq';
import { closeSoon } from '../redis/close-soon.js';

// How long a job waits that this process has no place for, in milliseconds, before any process may take it again.
const PAUSE = 250;
// BullMQ takes a job back from a process that does not renew its lock. It may do so as often as it likes: the database decides what is done.
const OFTEN = 1_000_000;
// BullMQ waits for so long after an error of the connection, in milliseconds. Its default is 15 seconds.
const RETRY = 1_000;

/** What a worker needs. */
export interface WorkerParts {
  readonly connection: ConnectionOptions;
  readonly prefix: string;
  readonly onError: (error: unknown) => void;
}

/**
 * Begins the work of a job, by its data. `later`: any process may take it in a moment, because this one has no place for it, or does not know
 * what it is about. Undefined: it is not one of Spark's, and ends.
 */
export type Begin = (data: unknown) => Promise<unknown> | 'later' | undefined;

/** Takes jobs from one queue, while Redis is there. */
export class JobWorker {
  private worker: Worker | undefined;
  private readonly running = new Set<Promise<unknown>>();
  private isStopping = false;

  constructor(
    private readonly queue: string,
    private readonly options: Pick<WorkerOptions, 'concurrency' | 'limiter'>,
    private readonly parts: WorkerParts,
    private readonly begin: Begin,
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

  private makeWorker(): Worker {
    const { connection, prefix, onError } = this.parts;
    const worker = new Worker(this.queue, (job, token) => this.take(job, token!), {
      name: `${hostname()}-${process.pid}`,
      connection,
      prefix,
      maxStalledCount: OFTEN,
      runRetryDelay: RETRY,
      ...this.options,
    });
    return worker.on('error', onError);
  }

  private async take(job: Job, token: string): Promise<void> {
    const begun = this.begin(job.data);
    if (begun === 'later') return putOff(job, token);
    const work = Promise.resolve(begun).finally(() => this.running.delete(work));
    this.running.add(work);
    await work;
  }
}

async function putOff(job: Job, token: string): Promise<never> {
  await job.moveToDelayed(Date.now() + PAUSE * (1 + Math.random()), token);
  throw new DelayedError();
}
