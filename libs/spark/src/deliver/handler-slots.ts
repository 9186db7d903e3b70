import { type Handler, namesOf } from '../handler/handler.registry.js';

/** A handler, and how many deliveries it may get now. */
export interface HandlerRoom {
  readonly handler: Handler;
  readonly room: number;
}

/** The slots in which this process handles deliveries: `concurrency` in all, and fewer for handlers with a limit of their own. */
export class HandlerSlots {
  private readonly taken = new Map<string, number>();
  private running = 0;
  private unsettled = 0;
  private suspects = 0;
  private waiting: (() => void)[] = [];

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

  /** How many transactional handlers may begin. */
  get freeConnections(): number {
    return this.connections - this.transactional();
  }

  /** Whether a suspect may be claimed: they are handled one at a time. */
  get mayTakeSuspect(): boolean {
    return this.suspects === 0;
  }

  /** The handlers with a free slot, and how many slots each may take. */
  rooms(): HandlerRoom[] {
    return this.handlers()
      .map((handler) => ({ handler, room: this.room(handler) }))
      .filter(({ room }) => room > 0);
  }

  /** Whether a delivery of a handler may begin. */
  hasRoom(handler: Handler): boolean {
    return this.room(handler) > 0;
  }

  /**
   * The present and former names of handlers that more deliveries may be waiting for, after a claim of deliveries of the given ones: those
   * of them without a free slot, or all if no slot is free.
   */
  fullAfter(claimed: ReadonlySet<Handler>): string[] {
    return this.handlers()
      .filter((handler) => (this.free <= 0 || claimed.has(handler)) && !this.hasRoom(handler))
      .flatMap(namesOf);
  }

  /** How many deliveries of a handler this process handles at once. */
  concurrencyOf({ options }: Handler): number {
    // One handler never gets all slots, so that others, above all more urgent ones, need not wait for a handler that hangs.
    const most = this.concurrency > 1 && this.handlers().length > 1 ? this.concurrency - 1 : this.concurrency;
    return Math.min(options.concurrency ?? most, most);
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

  private ownRoom(handler: Handler): number {
    const own = this.concurrencyOf(handler) - (this.taken.get(handler.name) ?? 0);
    return handler.options.transactional ? Math.min(own, this.freeConnections) : own;
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
