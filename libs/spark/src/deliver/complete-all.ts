import type { EntityManager } from 'typeorm';
import type { Deliveries, Delivery } from '../store/deliveries.js';

/**
 * Completes the deliveries of a call in a transaction, with a statement for each number of an attempt. Returns one of them that was not ours
 * any more; undefined if all were.
 */
export async function completeAll(
  manager: EntityManager,
  deliveries: Deliveries,
  claimed: readonly Delivery[],
  now: number,
): Promise<Delivery | undefined> {
  for (const attempt of new Set(claimed.map((delivery) => delivery.attempt))) {
    const same = claimed.filter((delivery) => delivery.attempt === attempt);
    const done = same.map((delivery) => ({ delivery, durationMs: 0 }));
    const ours = await deliveries.complete(manager, done, now);
    const lost = same.find(({ id }) => !ours.has(id));
    if (lost) return lost;
  }
  return undefined;
}
