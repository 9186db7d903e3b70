import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import type { BootContext } from '../common/boot-context.js';
import type { SparkClock } from '../common/clock.js';
import type { Counters } from '../common/counters.js';
import type { DeliveryReport } from '../common/delivery-report.js';
import { SparkLog } from '../common/spark-log.js';
import type { CarriedDelivery, DeliveryCarrier } from '../config/carrier.js';
import { ClaimRoom } from '../database/claim-queues.js';
import type { Transactions } from '../database/transactions.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { lineOf, shown } from '../error/text-of.js';
import type { Handler, HandlerRegistry } from '../handler/handler.registry.js';
import type { Deliveries, Delivery, Recalled } from '../store/deliveries.js';
import type { WorkerLease } from '../store/worker-lease.js';
import type { Carriage } from './carriage.js';
import type { Claimant, Claimer } from './claimer.js';
import type { HandlerSlots } from './handler-slots.js';
import type { Ended, Handling } from './handling.js';
import { AWAY, isReported, reportOf } from './settler.js';

// How many deliveries one statement takes over at most.
const MOST = 500;
// How long a take-over waits after a failure, in milliseconds.
const [SHORTEST_PAUSE, LONGEST_PAUSE] = [50, 5_000];

const IS_ID = /^\d{1,18}$/;

/** A delivery that a carrier has brought. */
interface Arrived {
  readonly id: string;
  readonly handler: Handler;
  /** Called when its end is written down; without a report if it was not taken over, or is left to others. */
  readonly ended: (report?: DeliveryReport) => void;
}

/** Takes over the deliveries that a carrier brings: as many as there are free slots, by one statement. */
export class TakeOvers {
  private readonly logger = new SparkLog();
  private waiting: Arrived[] = [];
  private readonly taken = new WeakMap<Delivery, Arrived>();
  private working: Promise<void> | undefined;
  private state: 'closed' | 'open' | 'ended' = 'closed';
  private readonly changes: (() => void)[] = [];

  constructor(
    private readonly context: BootContext,
    private readonly carrier: DeliveryCarrier,
    private readonly carriage: Carriage,
    private readonly claimer: Claimer,
    private readonly handling: Handling,
    private readonly lease: WorkerLease,
    private readonly slots: HandlerSlots,
    private readonly handlers: HandlerRegistry,
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly clock: SparkClock,
    private readonly counters: Counters,
    /** Called when deliveries are available again that other processes may handle. */
    private readonly onLeft: () => void,
  ) {}

  /** As `CarrierPort.handle`. */
  async handle(given: readonly Pick<CarriedDelivery, 'id' | 'handler'>[]): Promise<DeliveryReport[]> {
    const reports: Promise<DeliveryReport | undefined>[] = [];
    const strays: Record<'known' | 'unknown', string[]> = { known: [], unknown: [] };
    for (const { id, handler: name } of given.filter((one) => IS_ID.test(one.id))) {
      const handler = this.handlers.named(name);
      if (handler && this.carriage.works && this.carriage.isCarried(handler))
        reports.push(new Promise((ended) => this.waiting.push({ id, handler, ended })));
      else strays[handler ? 'known' : 'unknown'].push(id);
      if (!handler) this.reportUnknown(name);
    }
    if (this.waiting.length > 0) this.working ??= this.context.run(() => this.work());
    await this.recall({ ids: strays.known }, 0);
    await this.recall({ ids: strays.unknown }, AWAY);
    return (await Promise.all(reports)).filter((report) => report !== undefined);
  }

  /** Takes over what arrives. */
  open(): void {
    this.change('open');
  }

  /** Lets what arrives wait. */
  close(): void {
    this.change('closed');
  }

  /** Takes nothing over any more. What waits, and what still arrives, is available to other processes at once. */
  end(): void {
    this.change('ended');
  }

  /** Tells the carrier how an attempt has ended, if it has brought its delivery. */
  settled({ delivery, outcome, durationMs }: Ended, isOurs: boolean | undefined): void {
    const isReport = outcome && isOurs && isReported(outcome);
    this.taken.get(delivery)?.ended(isReport ? reportOf(delivery, outcome, durationMs) : undefined);
  }

  /** Resolves when what arrives is worked on: to false if that will not be. */
  async opened(): Promise<boolean> {
    while (this.state === 'closed') await this.changed();
    return this.state === 'open';
  }

  private change(state: 'closed' | 'open' | 'ended'): void {
    if (this.state !== 'ended') this.state = state;
    for (const resolve of this.changes.splice(0)) resolve();
    this.slots.resolveWaiting();
  }

  private async changed(): Promise<void> {
    await new Promise<void>((resolve) => this.changes.push(resolve));
  }

  private async work(): Promise<void> {
    // What arrives together is taken over together.
    await setImmediate();
    for (let failures = 0; this.waiting.length > 0;) {
      if (this.state === 'ended') await this.leave(this.waiting.splice(0));
      else if (this.state === 'closed') await this.changed();
      else if (!this.waiting.some(({ handler }) => this.slots.hasRoom(handler))) await this.slots.freed();
      else if (await this.tryTakeOver()) failures = 0;
      else await Promise.race([this.changed(), delay(Math.min(SHORTEST_PAUSE * 2 ** failures++, LONGEST_PAUSE))]);
    }
    this.working = undefined;
  }

  /** Takes over as many as there are free slots. Returns false if that was not possible, and has to be tried again. */
  private async tryTakeOver(): Promise<boolean> {
    let left = new Map<string, Arrived>();
    const begin: Claimant['begin'] = (claimed, ...how) => {
      for (const delivery of claimed) {
        this.taken.set(delivery, left.get(delivery.id)!);
        left.delete(delivery.id);
      }
      this.handling.begin(claimed, ...how);
    };
    try {
      const by = { running: () => this.handling.running(), begin };
      const choose = () => [...(left = this.choose()).keys()];
      const isDone = (await this.claimer.takeOver(by, choose, this.carrier.ttl)) !== undefined;
      if (this.claimer.lacksLease) await this.lease.regained();
      await this.leave([...left.values()], { isPaused: true });
      return isDone;
    } catch (error) {
      this.waiting.unshift(...left.values());
      if (!(error instanceof NoAnswerError))
        this.logger.warn(`Deliveries could not be taken over, and Spark tries again: ${lineOf(error)}`, { error });
      return false;
    }
  }

  /** Chooses as many as have a free slot from those that wait, by their ids. */
  private choose(): Map<string, Arrived> {
    const { free, freeConnections: connections } = this.slots;
    const room = new ClaimRoom({ limit: Math.min(free, MOST), connections });
    const rooms = new Map(this.slots.rooms().map((own, of) => [own.handler, { of, room: own.room }]));
    const chosen = new Map<string, Arrived>();
    this.waiting = this.waiting.filter((arrived) => {
      const own = rooms.get(arrived.handler);
      const slot = own && { ...own, connects: arrived.handler.options.transactional ?? false };
      // It may have been brought twice.
      if (!slot || room.in(slot) <= 0 || chosen.has(arrived.id)) return true;
      room.take(slot, 1);
      chosen.set(arrived.id, arrived);
      return false;
    });
    return chosen;
  }

  /** Leaves deliveries to other processes. Those that `which` selects are available at once. */
  private async leave(arrived: readonly Arrived[], which: Omit<Recalled, 'ids'> = {}): Promise<void> {
    await this.recall({ ids: arrived.map(({ id }) => id), ...which }, 0);
    for (const { ended } of arrived) ended();
  }

  /** Makes deliveries available again after so many milliseconds. Where that fails, they are so after the carrier's ttl. */
  private async recall(recalled: Recalled, after: number): Promise<void> {
    if (recalled.ids.length === 0) return;
    try {
      const due = this.clock.now() + after;
      const count = await this.transactions.run((manager) => this.deliveries.recall(manager, recalled, due));
      if (count > 0) this.onLeft();
    } catch (error) {
      this.logger.debug(`Deliveries could not be recalled: ${lineOf(error)}`, { error });
    }
  }

  private reportUnknown(name: string): void {
    this.counters.reportOnce(
      'leftToOthers',
      `handler ${name}`,
      () =>
        `A carrier has brought deliveries of ${shown(name)}, which this process does not have. They are left to other processes.`,
      { handler: name },
    );
  }
}
