import { randomUUID } from 'node:crypto';
import type { CarriedDelivery, CarriedHandler, DeliveryCarrier } from '../config/carrier.js';
import { inTime } from '../common/in-time.js';
import { SparkLog } from '../common/spark-log.js';
import { linesOf } from '../error/text-of.js';
import type { Handler, HandlerRegistry } from '../handler/handler.registry.js';
import type { SparkClock } from '../common/clock.js';
import type { Transactions } from '../database/transactions.js';
import type { DispatchedRow } from '../database/dialect.js';
import type { Deliveries } from '../store/deliveries.js';
import type { Carriage } from './carriage.js';
import type { Claimer, Dispatch } from './claimer.js';
import type { HandlerRoom, HandlerSlots } from './handler-slots.js';
import type { Claim } from './looks.js';
import { Pace } from './pace.js';

// How many deliveries of one handler are sent at once at most.
const MOST = 500;
// How long nothing is sent after a failure, in milliseconds: each time twice as long.
const [SHORTEST_REST, LONGEST_REST] = [250, 30_000];

/** Sends due deliveries by the carrier, as far as it has room for them. */
export class Dispatcher {
  private readonly logger = new SparkLog();
  private readonly pace = new Pace();
  private failures = 0;
  private restsUntil = -Infinity;
  /** Whether deliveries may be due for which the carrier had no room. */
  isShortOfRoom = true;

  constructor(
    private readonly carrier: DeliveryCarrier,
    private readonly carriage: Carriage,
    private readonly claimer: Claimer,
    private readonly handlers: HandlerRegistry,
    private readonly slots: HandlerSlots,
    private readonly transactions: Transactions,
    private readonly deliveries: Deliveries,
    private readonly clock: SparkClock,
  ) {}

  /** The handlers whose deliveries are carried, as the carrier sees them. */
  get carried(): CarriedHandler[] {
    return this.carriage.carried.map((handler) => this.asCarried(handler));
  }

  /** Whether the carrier has room for a delivery of a handler. */
  hasRoom(handler: Handler): boolean {
    return this.carrier.dispatches && !this.isResting && this.roomOf(handler) > 0;
  }

  /**
   * Sends deliveries until all that are due are on their way, or the carrier has no more room. Then it rests, as `Worker.fill` does.
   *
   * @returns how many deliveries it has sent
   */
  async fill(rest: number): Promise<number> {
    let total = 0;
    for (;;) {
      const { claimed, isMore } = await this.dispatch();
      total += claimed;
      if (isMore) continue;
      if (rest > 0) await this.pace.rest(rest);
      return total;
    }
  }

  private async dispatch(): Promise<Claim> {
    this.isShortOfRoom = true;
    const handlers = this.carriage.carried.filter((handler) => this.carriage.carries(handler));
    const rooms = this.isResting ? [] : this.roomsOf(handlers);
    const dispatched = await this.claimer.dispatch(rooms, this.carrier.ttl);
    const full = this.filled(rooms, dispatched.rows);
    this.isShortOfRoom = full.length > 0 || rooms.length < handlers.length;
    if (dispatched.rows.length === 0) return dispatched;
    if (!(await this.send(dispatched))) return { claimed: 0, isMore: false };
    return { ...dispatched, isMore: dispatched.isMore || full.some((handler) => this.roomOf(handler) > 0) };
  }

  private get isResting(): boolean {
    return performance.now() < this.restsUntil;
  }

  private roomsOf(handlers: readonly Handler[]): HandlerRoom[] {
    return handlers.map((handler) => ({ handler, room: this.roomOf(handler) })).filter(({ room }) => room > 0);
  }

  // A save asks for it, so an error must not reach the save.
  private roomOf(handler: Handler): number {
    try {
      return Math.min(MOST, Math.floor(this.carrier.room(this.asCarried(handler))) || 0);
    } catch (error) {
      this.failed(`The carrier could not say whether it has room. ${linesOf(error)}`, error);
      return 0;
    }
  }

  /** The handlers that got as many deliveries as the carrier had room for. */
  private filled(rooms: readonly HandlerRoom[], rows: readonly DispatchedRow[]): Handler[] {
    const isFull = ({ handler, room }: HandlerRoom) =>
      rows.filter((row) => this.handlers.named(row.handler) === handler).length >= room;
    return rooms.filter(isFull).map(({ handler }) => handler);
  }

  /** Sends deliveries. Returns whether the carrier has them. */
  private async send({ rows, by }: Dispatch): Promise<boolean> {
    try {
      await this.sendInTime(rows.map((row) => this.deliveryOf(row)));
      if (this.failures > 0) this.logger.log('The carrier takes deliveries again.');
      this.failures = 0;
      return true;
    } catch (error) {
      const words = 'They are available again. Spark logs this once, and again when it is over.';
      this.failed(`The carrier did not take ${rows.length} deliveries. ${words} ${linesOf(error)}`, error);
      const ids = rows.map(({ id }) => id);
      await this.transactions.run((manager) => this.deliveries.recall(manager, { ids, by }, this.clock.now()));
      return false;
    }
  }

  private sendInTime(deliveries: readonly CarriedDelivery[]): Promise<void> {
    const { ttl } = this.carrier;
    const late = () => new Error(`send() took longer than the carrier's ttl of ${ttl} ms`);
    return inTime(() => this.carrier.send(deliveries), ttl, late);
  }

  private failed(message: string, error: unknown): void {
    if (this.failures === 0) this.logger.error(message, { error });
    this.restsUntil = performance.now() + Math.min(SHORTEST_REST * 2 ** this.failures++, LONGEST_REST);
  }

  private deliveryOf({ id, handler, priority }: DispatchedRow): CarriedDelivery {
    return { id: String(id), handler: this.handlers.named(handler)!.name, ticket: randomUUID(), priority };
  }

  private asCarried(handler: Handler): CarriedHandler {
    const { name, options } = handler;
    return { name, concurrency: this.slots.concurrencyOf(handler), priority: options.priority ?? 0 };
  }
}
