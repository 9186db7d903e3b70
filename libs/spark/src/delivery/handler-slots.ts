import type { ClaimRequest } from '../dialect/dialect.js';
import type { Handler } from '../handler/handler.registry.js';

/** The places in which this process handles deliveries: some in all, and fewer for handlers that say so. */
export class HandlerSlots {
  private readonly taken = new Map<string, number>();
  private total = 0;
  private suspects = 0;

  constructor(
    private readonly concurrency: number,
    /** How many transactional handlers may run at once, each holding a connection. */
    private readonly connections: number,
    private readonly handlers: () => readonly Handler[],
  ) {}

  get free(): number {
    return this.concurrency - this.total;
  }

  /** What may be claimed now: suspects one at a time, the rest as far as there are places. */
  *requests(): Iterable<Pick<ClaimRequest, 'handlers' | 'limit' | 'suspect'>> {
    const all = this.handlers().filter((handler) => this.room(handler) > 0);
    if (all.length === 0) return;
    if (this.suspects === 0) yield { handlers: all.map(({ name }) => name), limit: 1, suspect: true };
    const unlimited = all.filter((handler) => !isLimited(handler)).map(({ name }) => name);
    if (unlimited.length > 0 && this.free > 0) yield { handlers: unlimited, limit: this.free, suspect: false };
    for (const handler of all.filter(isLimited)) {
      const limit = this.room(handler);
      if (limit > 0) yield { handlers: [handler.name], limit, suspect: false };
    }
  }

  /** Takes a place; the returned function leaves it. */
  take(handler: string, suspect: boolean): () => void {
    this.count(handler, 1, suspect);
    return () => this.count(handler, -1, suspect);
  }

  private room({ name, options }: Handler): number {
    const own = (options.concurrency ?? this.concurrency) - (this.taken.get(name) ?? 0);
    const connections = options.transactional ? this.connections - this.transactional() : this.concurrency;
    return Math.min(this.free, own, connections);
  }

  private transactional(): number {
    const names = this.handlers().filter(({ options }) => options.transactional);
    return names.reduce((sum, { name }) => sum + (this.taken.get(name) ?? 0), 0);
  }

  private count(handler: string, by: number, suspect: boolean): void {
    this.taken.set(handler, (this.taken.get(handler) ?? 0) + by);
    this.total += by;
    if (suspect) this.suspects += by;
  }
}

const isLimited = ({ options }: Handler): boolean =>
  options.concurrency !== undefined || options.transactional === true;
