import type { EntityManager } from 'typeorm';
import { yieldToEventLoop } from '../common/event-loop.js';
import type { Dialect } from '../database/dialect.js';
import type { Entry } from '../database/event-columns.js';
import { unseen } from '../database/key-ranges.js';
import { chunks } from '../database/statement.js';

type Keyed = Pick<Entry, 'key' | 'group' | 'entity' | 'entityId'>;

// As many as a sweep looks up at once.
const LOOKED_UP = 5_000;

/** Which keys of a page are in the ledger. It looks up each key once. */
export class KnownKeys {
  private readonly asked = new Set<string>();
  private readonly known = new Set<string>();

  constructor(
    private readonly manager: EntityManager,
    private readonly dialect: Dialect,
  ) {}

  /** Looks up the keys that it has not looked up yet. */
  async lookUp(events: readonly Keyed[]): Promise<void> {
    const fresh = events.filter(({ key }) => !this.asked.has(key));
    for (const part of chunks(fresh, LOOKED_UP)) {
      await yieldToEventLoop();
      const left = await unseen(part, (ranges) => this.dialect.keysInRanges(this.manager, ranges));
      const keys = left.map(({ key }) => key);
      const owners = keys.length === 0 ? new Map<string, unknown>() : await this.dialect.ownersOf(this.manager, keys);
      const unknown = new Set(keys.filter((key) => !owners.has(key)));
      for (const { key } of part) {
        this.asked.add(key);
        if (!unknown.has(key)) this.known.add(key);
      }
    }
  }

  /** Whether a key that was looked up is in the ledger. */
  has(key: string): boolean {
    return this.known.has(key);
  }
}
