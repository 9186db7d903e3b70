import { idText, idTextIn } from '../event/event-key.js';
import type { PlannedEvent } from './planned.js';

// About 10 MB. With more such keys, a plan may list an event twice.
const MOST = 100_000;

/** The keys of a plan that entities of several pages may share. Each event is entered once, so a plan lists it once. */
export class SharedKeys {
  private readonly seen = new Set<string>();

  /** Whether no page before had the key. Keys with the id of their entity are not kept: others have none of them. */
  isFirst({ group, key, id }: Pick<PlannedEvent, 'group' | 'key' | 'id'>): boolean {
    if (id !== undefined && idTextIn(group, key) === idText([id])) return true;
    if (this.seen.has(key)) return false;
    if (this.seen.size < MOST) this.seen.add(key);
    return true;
  }
}
