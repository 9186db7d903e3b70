import type { ClaimRequest } from '../database/dialect.js';
import { type Handler, namesOf } from '../handler/handler.registry.js';

/** The slots in which this process handles deliveries: `concurrency` in all, and fewer for handlers with a limit of their own. */
export class HandlerSlots {
  private readonly taken = new Map<string, number>();
  private running = 0;
  private unsettled = 0;
  private suspects = 0;
  private waiting: (() => void)[] = [];
  private limitedFirst = false;

  constructor(
    private readonly concurrency: number,
    /** How many transactional handlers may run at once, each holding a connection. */
    private readonly connections: number,
    private readonly handlers: () => readonly Handler[],
  ) {}

  /** Resolves when a slot is freed, together with all slots that are freed in the same round of the event loop. */
  async freed(): Promise<void> {
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** How many slots are free. Attempts may begin while earlier ones are being settled, up to twice the concurrency in all. */
  get free(): number {
    return Math.min(this.concurrency - this.running, 2 * this.concurrency - this.unsettled);
  }

  /** What may be claimed now: one suspect at a time if `suspects` is set, and other deliveries for the free slots. */
  *requests(suspects: boolean): Iterable<Pick<ClaimRequest, 'handlers' | 'limit' | 'suspect'>> {
    const all = this.handlers().filter((handler) => this.room(handler) > 0);
    if (all.length === 0) return;
    if (suspects && this.suspects === 0) yield { handlers: all.flatMap(namesOf), limit: 1, suspect: true };
    for (const together of this.inOrder(all)) {
      const limit = Math.min(...together.map((handler) => this.room(handler)));
      if (limit > 0) yield { handlers: together.flatMap(namesOf), limit, suspect: false };
    }
  }

  /**
   * Groups handlers that one claim can ask for, by priority. At equal priority, handlers with a limit and handlers without take the first
   * place by turns.
   */
  private inOrder(handlers: readonly Handler[]): Handler[][] {
    this.limitedFirst = !this.limitedFirst;
    const sign = this.limitedFirst ? -1 : 1;
    const order = (a: Handler, b: Handler) =>
      priorityOf(a) - priorityOf(b) || sign * (Number(isLimited(a)) - Number(isLimited(b)));
    const groups: Handler[][] = [];
    for (const handler of handlers.toSorted(order)) {
      const last = groups.at(-1);
      if (last && !isLimited(last[0]!) && !isLimited(handler)) last.push(handler);
      else groups.push([handler]);
    }
    return groups;
  }

  /** Takes a slot for a delivery of a handler. */
  take(handler: string, suspect: boolean): void {
    this.taken.set(handler, (this.taken.get(handler) ?? 0) + 1);
    this.running++;
    this.unsettled++;
    if (suspect) this.suspects++;
  }

  /**
   * Frees the slot of a handler that has ended. Returns whether no more deliveries of that handler could be claimed until now, because its
   * slots, or the connections of all transactional handlers, were taken.
   */
  leave(handler: string): boolean {
    const wasFull = this.handlers().some((one) => one.name === handler && this.ownRoom(one) <= 0);
    this.taken.set(handler, this.taken.get(handler)! - 1);
    this.running--;
    this.resolveWaiting();
    return wasFull;
  }

  /** Counts a delivery as settled. */
  settle(suspect: boolean): void {
    this.unsettled--;
    if (suspect) this.suspects--;
    this.resolveWaiting();
  }

  private room(handler: Handler): number {
    return Math.min(this.free, this.ownRoom(handler));
  }

  private ownRoom({ name, options }: Handler): number {
    // One handler never gets all slots, so that others, above all more urgent ones, need not wait for a handler that hangs.
    const most = this.concurrency > 1 && this.handlers().length > 1 ? this.concurrency - 1 : this.concurrency;
    const own = Math.min(options.concurrency ?? most, most) - (this.taken.get(name) ?? 0);
    const connections = options.transactional ? this.connections - this.transactional() : this.concurrency;
    return Math.min(own, connections);
  }

  private transactional(): number {
    const names = this.handlers().filter(({ options }) => options.transactional);
    return names.reduce((sum, { name }) => sum + (this.taken.get(name) ?? 0), 0);
  }

  /** Resolves all promises of `freed`. */
  resolveWaiting(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

const priorityOf = ({ options }: Handler): number => options.priority ?? 0;

const isLimited = ({ options }: Handler): boolean =>
  options.concurrency !== undefined || options.transactional === true;
