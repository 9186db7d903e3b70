import { Logger } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { CarriedDelivery, CarrierPort } from 'nestjs-spark';
import type { CarrierSettings, QueueSettings } from './options/settings.js';
import type { JobWorker } from './queue/job-worker.js';
import { rangeWorker, RangeSender } from './queue/ranges.js';
import { Sender } from './queue/sender.js';
import { Taker } from './queue/taker.js';
import { isOfConnection, isOfLostJob, reasonOf } from './redis/advice.js';
import { impatient, patient, placeOf } from './redis/connections.js';
import { SaidOnce } from './redis/said-once.js';
import { ServerWatch } from './redis/server-watch.js';

// How long the boot waits for the first answer of Redis, in milliseconds. Then it goes on without one.
const BOOT = 2_000;

/** All that a carrier has open, from its start to its end. */
export class Session {
  private readonly said = new SaidOnce(new Logger('SparkBullMQ'));
  private readonly client: Redis;
  private readonly watch: ServerWatch;
  private readonly senders = new Map<QueueSettings, Sender>();
  private readonly ranges: RangeSender;
  private readonly workers: JobWorker[] = [];
  private cleaning: NodeJS.Timeout | undefined;

  constructor(
    private readonly settings: CarrierSettings,
    private readonly port: CarrierPort,
  ) {
    const { connection, prefix, queues } = settings;
    this.client = impatient(connection);
    const key = `${prefix}:${queues.at(-1)!.name}:spark-generation`;
    const words = { place: placeOf(connection), meanwhile: this.meanwhile };
    this.watch = new ServerWatch(this.client, key, words, {
      prepare: () => this.open(),
      onThere: () => this.begin(),
      onAway: () => this.rest(),
      onEmptied: () => this.forget(),
    });
    const { client } = this;
    const common = this.commonParts();
    this.ranges = new RangeSender(settings.sweeps, settings.ttl, { ...common, client });
    if (settings.works && port.sources.length > 0) this.workers.push(rangeWorker(settings.sweeps, port, common));
    for (const queue of queues) this.makeParts(queue);
  }

  /** Resolves when Redis has answered or is known to be away. */
  async start(): Promise<void> {
    this.cleaning = setInterval(() => void this.removeStale(), this.settings.ttl / 4).unref();
    await this.watch.start(BOOT);
  }

  /** How many more deliveries of a handler may be on their way. */
  room(handler: CarrierPort['handlers'][number]): number {
    if (!this.watch.isThere) return 0;
    return this.senderFor(handler.name)?.room(handler) ?? 0;
  }

  async send(deliveries: readonly CarriedDelivery[]): Promise<void> {
    if (!this.watch.isThere) throw new Error(`Redis at ${placeOf(this.settings.connection)} is away`);
    const parts = new Map<Sender, CarriedDelivery[]>();
    for (const delivery of deliveries) {
      const sender = this.senderFor(delivery.handler)!;
      const part = parts.get(sender);
      if (part) part.push(delivery);
      else parts.set(sender, [delivery]);
    }
    try {
      await Promise.all([...parts].map(([sender, part]) => sender.send(part)));
    } catch (error) {
      void this.failed(error);
      throw error;
    }
  }

  /** Asks for help with ranges of a sweep. It does not wait for a Redis that is away: without help, the sweep goes on alone. */
  async sendRanges(source: string, count: number): Promise<void> {
    if (this.watch.isThere) await this.ranges.send(source, count).catch((error: unknown) => this.failed(error));
  }

  async stop(): Promise<void> {
    const { isThere } = this.watch;
    clearInterval(this.cleaning);
    this.watch.stop();
    await Promise.all(this.workers.map((worker) => worker.stop()));
    await Promise.all([...this.workers, ...this.allSenders].map((part) => part.close(isThere)));
    this.client.disconnect();
  }

  private makeParts(queue: QueueSettings): void {
    const { ttl, dispatches, works } = this.settings;
    const handlers = this.port.handlers.filter(({ name }) => this.queueOf(name) === queue);
    if (handlers.length === 0) return;
    const { client } = this;
    const common = this.commonParts();
    const wake = () => this.port.wake();
    const onExpired = (count: number) => this.warnOfExpired(count, queue.name);
    if (dispatches) this.senders.set(queue, new Sender(queue, { ...common, client, ttl, wake, onExpired }));
    if (works) this.workers.push(new Taker(queue, handlers, this.port, common).worker);
  }

  /** What all parts need. */
  private commonParts() {
    const { connection, prefix } = this.settings;
    return { connection: patient(connection), prefix, onError: (error: unknown) => void this.failed(error) };
  }

  private get allSenders(): Sender[] {
    return [...this.senders.values()];
  }

  private queueOf(handler: string): QueueSettings {
    return this.settings.queues.find((queue) => queue.isFor(handler))!;
  }

  private senderFor(handler: string): Sender | undefined {
    return this.senders.get(this.queueOf(handler));
  }

  private get isLocal(): boolean {
    return this.settings.works && this.settings.fallback === 'local';
  }

  private get meanwhile(): string {
    return this.isLocal
      ? 'Until it is back, this process claims deliveries from the database.'
      : 'Until it is back, deliveries wait in the database.';
  }

  private async open(): Promise<void> {
    for (const part of [...this.allSenders, this.ranges, ...this.workers]) await part.open();
  }

  private begin(): void {
    this.port.fallBack(false);
    this.port.wake();
  }

  private rest(): void {
    for (const worker of this.workers) void worker.pause();
    if (this.isLocal) this.port.fallBack(true);
  }

  private forget(): void {
    this.said.mute('lost jobs');
    for (const sender of this.allSenders) sender.forget();
  }

  private async removeStale(): Promise<void> {
    if (!this.watch.isThere) return;
    for (const sender of [...this.allSenders, this.ranges])
      await sender.removeStale().catch((error: unknown) => this.failed(error));
  }

  /** Something that BullMQ did has failed. */
  private async failed(error: unknown): Promise<void> {
    await this.watch.check();
    if (!this.watch.isThere || isOfConnection(error)) return;
    const reason = reasonOf(error);
    if (isOfLostJob(error))
      this.said.warn(
        'lost jobs',
        `Redis no longer knows jobs that are handled here, or gave them to other processes. Their deliveries are handled once: the ` +
          `database decides. ${reason}`,
      );
    // Lines that only differ in the ids of jobs are the same.
    else this.said.warn(reason.replace(/\S*\d\S*/g, ''), `BullMQ: ${reason}`);
  }

  private warnOfExpired(count: number, queue: string): void {
    this.said.warn(
      `expired in ${queue}`,
      `${count} deliveries were in the queue ${queue} for longer than the carrier's ttl of ${this.settings.ttl} ms, and are sent again. Is a ` +
        `process with the role work running? If the handlers are slow, raise ttl, or lower window.`,
    );
  }
}
