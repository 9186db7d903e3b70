import type { EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import type { Entry } from '../database/event-columns.js';
import { lookedUp } from '../database/key-ranges.js';

type Keyed = Pick<Entry, 'key' | 'group' | 'entity' | 'entityId'>;

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
    for await (const { all, left, owners } of lookedUp(this.manager, this.dialect, fresh)) {
      const unknown = new Set(left.map(({ key }) => key).filter((key) => !owners.has(key)));
      for (const { key } of all) {
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
