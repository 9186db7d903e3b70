import type { DeliveryReport } from '../common/delivery-report.js';

/**
 * Carries deliveries to the processes that handle them. It may lose and repeat anything: the database is the truth.
 *
 * @example
 * SparkModule.forRoot({ worker: { carrier: new QueueCarrier(client) } }) // docs/carriers.md has a whole one
 */
export interface DeliveryCarrier {
  /** Whether this process sends deliveries. */
  readonly dispatches: boolean;
  /** Whether this process takes deliveries up and handles them. */
  readonly works: boolean;
  /** How long a delivery may be on its way, in milliseconds. After that time Spark takes it for lost, and sends it again. */
  readonly ttl: number;
  /** Called once at boot, before the first delivery is sent. It resolves also while the carrier's server is away. */
  start(port: CarrierPort): Promise<void>;
  /** How many more of a handler's deliveries may be on their way: 0 while the server is away. */
  room(handler: CarriedHandler): number;
  /** Sends deliveries of any handlers. If it rejects, Spark takes none of them for sent: they are available again at once. */
  send(deliveries: readonly CarriedDelivery[]): Promise<void>;
  /**
   * Asks processes that work to sweep ranges of a source, by {@link CarrierPort.sweepRange}. Spark calls it whenever this process has taken a range
   * that has others behind it, in a sweep without a `rate`. So no more than `count` jobs of a source need to be in the queue. Nothing waits
   * for it. If it is left out, only processes that sweep take ranges.
   *
   * @param count how many ranges are left, about: 1 to 20
   */
  sendRanges?(source: string, count: number): Promise<void>;
  /** Takes up nothing more. It resolves when what this process had taken up has ended. */
  stop(): Promise<void>;
}

/**
 * A delivery on its way.
 *
 * @example
 * async send(deliveries: readonly CarriedDelivery[]) {
 *   await this.queue.addBulk(deliveries.map(({ id, handler, ticket, priority }) => ({ data: { id, handler }, jobId: ticket, priority })));
 * }
 */
export interface CarriedDelivery {
  readonly id: string;
  readonly handler: string;
  /** Another one each time it is sent, for queues that ignore what they know. No `:`, not all digits. */
  readonly ticket: string;
  /** The lower, the sooner. */
  readonly priority: number;
}

/**
 * A handler whose deliveries are carried.
 *
 * @example
 * room({ name, concurrency }: CarriedHandler) {
 *   return 20 * concurrency - this.onTheirWay(name);
 * }
 */
export interface CarriedHandler {
  readonly name: string;
  /** How many of its deliveries a process handles at once. */
  readonly concurrency: number;
  readonly priority: number;
}

/**
 * What Spark does for a carrier.
 *
 * @example
 * async start(port: CarrierPort) {
 *   this.queue.process(async (job) => void (await port.handle([job.data])));
 * }
 */
export interface CarrierPort {
  /** The handlers of this process whose deliveries are carried. */
  readonly handlers: readonly CarriedHandler[];
  /** The names of the sources of this process, with their former ones. */
  readonly sources: readonly string[];
  /**
   * Takes deliveries over and handles them as everywhere: one statement for many, fences, retries, transactions, history. It waits for free
   * slots. It resolves when how they ended is written down. It leaves out those that are not on their way any more. It never rejects.
   */
  handle(deliveries: readonly Pick<CarriedDelivery, 'id' | 'handler'>[]): Promise<readonly DeliveryReport[]>;
  /**
   * Sweeps the next range of the sweep of a source that other processes are running: it begins no sweep, and ends none. It waits for sweeps
   * of this process. It resolves to whether there was a range, so that there may be more. It never rejects.
   */
  sweepRange(source: string): Promise<boolean>;
  /** There is room again: Spark looks for what is due. */
  wake(): void;
  /** While it is on, workers of this process claim what the carrier would carry. */
  fallBack(on: boolean): void;
}
