import type { ClaimRequest } from '../database/dialect.js';
import { type Handler, namesOf } from '../handler/handler.registry.js';

// A claim of more would keep the process from asking for the next while it is busy with the last.
const MOST = 500;

/** The places in which this process handles deliveries: some in all, and fewer for handlers that say so. */
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

  /** Resolves when a place is left, with all others that are left in the same turn. */
  async freed(): Promise<void> {
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** The next ones may begin while the last ones are written down, but not without end. */
  get free(): number {
    return Math.min(MOST, this.concurrency - this.running, 2 * this.concurrency - this.unsettled);
  }

  /** What may be claimed now: suspects one at a time, where they are asked for; the rest as far as there are places. */
  *requests(suspects: boolean): Iterable<Pick<ClaimRequest, 'handlers' | 'limit' | 'suspect'>> {
    const all = this.handlers().filter((handler) => this.room(handler) > 0);
    if (all.length === 0) return;
    if (suspects && this.suspects === 0) yield { handlers: all.flatMap(namesOf), limit: 1, suspect: true };
    for (const together of this.inOrder(all)) {
      const limit = Math.min(...together.map((handler) => this.room(handler)));
      if (limit > 0) yield { handlers: together.flatMap(namesOf), limit, suspect: false };
    }
  }

  /** The more urgent first, those that one claim can ask for together. Among equals now these, now those are the first to take places. */
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

  /** A delivery takes a place of its handler. */
  take(handler: string, suspect: boolean): void {
    this.taken.set(handler, (this.taken.get(handler) ?? 0) + 1);
    this.running++;
    this.unsettled++;
    if (suspect) this.suspects++;
  }

  /** Its handler has ended: the place is free. Returns whether more of that handler, or of those alike, could not be claimed until now. */
  leave(handler: string): boolean {
    const wasFull = this.handlers().some((one) => one.name === handler && this.ownRoom(one) <= 0);
    this.taken.set(handler, this.taken.get(handler)! - 1);
    this.running--;
    this.letWaitersLook();
    return wasFull;
  }

  /** How it ended is written down. */
  settle(suspect: boolean): void {
    this.unsettled--;
    if (suspect) this.suspects--;
    this.letWaitersLook();
  }

  private room(handler: Handler): number {
    return Math.min(this.free, this.ownRoom(handler));
  }

  private ownRoom({ name, options }: Handler): number {
    // The last place is never the same handler's: others, above all more urgent ones, must not wait for what hangs.
    const most = this.concurrency > 1 && this.handlers().length > 1 ? this.concurrency - 1 : this.concurrency;
    const own = Math.min(options.concurrency ?? most, most) - (this.taken.get(name) ?? 0);
    const connections = options.transactional ? this.connections - this.transactional() : this.concurrency;
    return Math.min(own, connections);
  }

  private transactional(): number {
    const names = this.handlers().filter(({ options }) => options.transactional);
    return names.reduce((sum, { name }) => sum + (this.taken.get(name) ?? 0), 0);
  }

  /** Whoever waits for a place looks again. */
  letWaitersLook(): void {
    if (this.waiting.length > 0) for (const look of this.waiting.splice(0)) look();
  }
}

const priorityOf = ({ options }: Handler): number => options.priority ?? 0;

const isLimited = ({ options }: Handler): boolean =>
  options.concurrency !== undefined || options.transactional === true;
