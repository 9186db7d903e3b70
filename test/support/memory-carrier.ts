import type { CarriedDelivery, CarriedHandler, CarrierPort, DeliveryCarrier, DeliveryReport } from 'nestjs-spark';

/** A queue in the memory of this process. Applications that share it stand for processes that share a server. */
export class MemoryQueue {
  private waiting: CarriedDelivery[] = [];
  private ranges: string[] = [];
  private readonly carriers = new Set<MemoryCarrier>();
  /** All deliveries that were sent, in their order. */
  readonly sent: CarriedDelivery[] = [];
  /** For how many ranges help was asked, each time. */
  readonly asked: { source: string; count: number }[] = [];

  push(deliveries: readonly CarriedDelivery[]): void {
    this.sent.push(...deliveries);
    this.waiting.push(...deliveries);
    this.waiting.sort((a, b) => a.priority - b.priority);
    for (const carrier of this.carriers) carrier.takeUp();
  }

  take(most: number): CarriedDelivery[] {
    const taken = this.waiting.splice(0, most);
    if (taken.length > 0) for (const carrier of this.carriers) carrier.hasRoom();
    return taken;
  }

  /** Lets so many jobs of a source wait. */
  pushRanges(source: string, count: number): void {
    this.asked.push({ source, count });
    const others = this.ranges.filter((waiting) => waiting !== source);
    this.ranges = [...others, ...Array.from({ length: count }, () => source)];
    for (const carrier of this.carriers) carrier.takeUpRange();
  }

  takeRange(): string | undefined {
    return this.ranges.shift();
  }

  count(handler: string): number {
    return this.waiting.filter((delivery) => delivery.handler === handler).length;
  }

  /** Loses all that waits, as a server that is flushed. */
  flush(): void {
    this.take(Infinity);
  }

  join(carrier: MemoryCarrier): void {
    this.carriers.add(carrier);
  }

  leave(carrier: MemoryCarrier): void {
    this.carriers.delete(carrier);
  }
}

/** What a carrier of tests does. */
export interface MemoryCarrierOptions {
  readonly dispatches?: boolean;
  readonly works?: boolean;
  /** In milliseconds. Default: a minute. */
  readonly ttl?: number;
  /** How many deliveries of a handler may wait in the queue. Default: 100. */
  readonly window?: number;
  /** How many deliveries it takes up at once. Default: 10. */
  readonly batch?: number;
  /** How many times it does so side by side. Default: 2. */
  readonly concurrency?: number;
}

/** Carries deliveries by a queue in memory. */
export class MemoryCarrier implements DeliveryCarrier {
  readonly dispatches: boolean;
  readonly works: boolean;
  readonly ttl: number;
  /** What `handle` has reported. */
  readonly reports: DeliveryReport[] = [];
  port: CarrierPort | undefined;
  private readonly options: Required<MemoryCarrierOptions>;
  private isStopped = false;
  private readonly running = new Set<Promise<void>>();
  private isSweeping = false;

  constructor(
    private readonly queue: MemoryQueue,
    options: MemoryCarrierOptions = {},
  ) {
    const usual = { dispatches: true, works: true, ttl: 60_000, window: 100, batch: 10, concurrency: 2 };
    this.options = { ...usual, ...options };
    ({ dispatches: this.dispatches, works: this.works, ttl: this.ttl } = this.options);
  }

  async start(port: CarrierPort): Promise<void> {
    this.port = port;
    this.queue.join(this);
    this.takeUp();
  }

  room({ name }: CarriedHandler): number {
    return this.options.window - this.queue.count(name);
  }

  async send(deliveries: readonly CarriedDelivery[]): Promise<void> {
    this.queue.push(deliveries);
  }

  async sendRanges(source: string, count: number): Promise<void> {
    this.queue.pushRanges(source, count);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.queue.leave(this);
    await Promise.all(this.running);
  }

  /** Whether all that it has taken up has ended. */
  get isIdle(): boolean {
    return this.running.size === 0;
  }

  /** Takes up what waits in the queue. */
  takeUp(): void {
    if (!this.works || this.isStopped) return;
    while (this.running.size < this.options.concurrency) {
      const deliveries = this.queue.take(this.options.batch);
      if (deliveries.length === 0) return;
      const work = this.handle(deliveries).finally(() => {
        this.running.delete(work);
        this.takeUp();
      });
      this.running.add(work);
    }
  }

  /** Takes up a range that waits in the queue, and then the next one. */
  takeUpRange(): void {
    if (!this.works || this.isStopped || this.isSweeping) return;
    const source = this.queue.takeRange();
    if (source === undefined) return;
    this.isSweeping = true;
    const work = this.sweep(source).finally(() => {
      this.isSweeping = false;
      this.running.delete(work);
      this.takeUpRange();
    });
    this.running.add(work);
  }

  private async sweep(source: string): Promise<void> {
    await this.port!.sweepRange(source);
  }

  /** Something was taken from the queue. */
  hasRoom(): void {
    if (this.dispatches) this.port!.wake();
  }

  private async handle(deliveries: readonly CarriedDelivery[]): Promise<void> {
    this.reports.push(...(await this.port!.handle(deliveries)));
  }
}
