import type { CarriedDelivery, CarriedHandler, CarrierPort, DeliveryCarrier } from 'nestjs-spark';
import type { BullMQCarrierOptions } from './options/bullmq.options.js';
import { type CarrierSettings, settingsOf } from './options/settings.js';
import { Session } from './session.js';

/**
 * Carries deliveries by BullMQ. Processes with the role `dispatch` send ids of deliveries to Redis, and processes with the role `work` take them
 * from there and handle them. They also help processes that sweep. The database stays the truth: Redis may lose and repeat anything.
 *
 * @example
 * const carrier = new BullMQCarrier({ connection: 'redis://127.0.0.1:6379' });
 * SparkModule.forRoot({ worker: { carrier } })
 */
export class BullMQCarrier implements DeliveryCarrier {
  private readonly settings: CarrierSettings;
  private session: Session | undefined;

  /** @throws InvalidOptionsError */
  constructor(options: BullMQCarrierOptions) {
    this.settings = settingsOf(options);
  }

  /** Whether this process has the role `dispatch`. */
  get dispatches(): boolean {
    return this.settings.dispatches;
  }

  /** Whether this process has the role `work`. */
  get works(): boolean {
    return this.settings.works;
  }

  /** The option `ttl` in milliseconds. */
  get ttl(): number {
    return this.settings.ttl;
  }

  /** Called by Spark at boot. It does not wait for a Redis that is away. */
  async start(port: CarrierPort): Promise<void> {
    this.session = new Session(this.settings, port);
    await this.session.start();
  }

  /** Called by Spark before it sends: 0 while Redis is away. */
  room(handler: CarriedHandler): number {
    return this.session?.room(handler) ?? 0;
  }

  /** Called by Spark. Rejects at once while Redis is away. */
  async send(deliveries: readonly CarriedDelivery[]): Promise<void> {
    await this.session!.send(deliveries);
  }

  /** Called by Spark while it sweeps. Without Redis, it does nothing. */
  async sendRanges(source: string, count: number): Promise<void> {
    await this.session?.sendRanges(source, count);
  }

  /** Called by Spark at shutdown. Resolves when what was taken up has ended, also while Redis is away. */
  async stop(): Promise<void> {
    await this.session?.stop();
    this.session = undefined;
  }
}
