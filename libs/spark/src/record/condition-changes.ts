import type { EntityManager } from 'typeorm';
import type { Counters } from '../common/counters.js';
import { shown } from '../error/text-of.js';
import { CHAIN_START, isTooDeep, pauseOf } from '../event/chain.js';
import type { ChainLink } from '../event/work-context.js';
import type { Condition, Conditions, NewCondition } from '../store/conditions.js';
import type { Recheck } from '../store/rechecks.js';
import type { SubjectRef } from '../entity/subject-ref.js';
import type { Derivation } from './derivation.js';
import type { BegunCondition, SeenConditions } from './seen-conditions.js';

/** Whether a condition that begins has held since before Spark saw its source. */
export type IsPast = (condition: BegunCondition) => boolean;

/**
 * Writes what a derivation has seen of conditions. The derivation read the entities before this transaction, so another one may have seen
 * a break since. No condition may last longer than it has held, whatever the order. So:
 *
 * - A new row has no `since`. The recheck after it reads the entity when the row is there for all to see, and sets `since`, if the row is
 *   still there. So whoever sees a break meanwhile has removed the row, or sees the row later.
 * - A break always removes the row. If the event is yielded again by then, the recheck after it begins anew.
 * - An event is entered only if its row is there as it was before its entity was read.
 */
export class ConditionChanges {
  constructor(
    private readonly conditions: Conditions,
    private readonly counters: Counters,
  ) {}

  /**
   * Writes the changes. Returns the rechecks that they need.
   *
   * A recheck at which one condition breaks and another begins is one step deeper, so that a source whose keys differ from run to run
   * pauses as a chain of events does.
   *
   * @param isPast whether a condition that begins has held before
   */
  async write(
    manager: EntityManager,
    { conditions: seen, linkOf }: Pick<Derivation, 'conditions' | 'linkOf'>,
    now: number,
    isPast: IsPast,
  ): Promise<Recheck[]> {
    const { broken, confirmed } = seen;
    const replaced = seen.replaced();
    const again = broken.filter(({ isLive }) => isLive).map(({ ref }) => ref);
    await this.conditions.remove(manager, sorted(broken));
    again.push(...(await this.begin(manager, seen, now, isPast)));
    const live = confirmed.filter(({ isLive }) => isLive);
    const begun = await this.conditions.begin(manager, sorted(confirmed), now);
    if (begun < confirmed.length) again.push(...live.map(({ ref }) => ref));
    const atOnce = again.map((ref) => recheckAgain(ref, now, linkOf(ref), replaced.has(ref.id)));
    return [...atOnce, ...live.map(({ ref, length }) => recheck(ref, now + length))];
  }

  /** Begins conditions that have held since before Spark saw their source. */
  async beginPast(manager: EntityManager, { begun }: SeenConditions): Promise<void> {
    const all = [...begun.values()].map((one) => ({ ...one, isPast: true })).sort((a, b) => (a.key < b.key ? -1 : 1));
    if (all.length > 0) await this.conditions.add(manager, all, null);
  }

  /** The keys of events that are not entered, because their conditions are not there any more as they were. */
  async lost(
    manager: EntityManager,
    seen: SeenConditions,
    found: readonly { readonly key: string }[],
  ): Promise<Set<string>> {
    const due = found.flatMap(({ key }) => seen.lasting.get(key) ?? []);
    const unchanged = await this.conditions.unchanged(manager, due);
    return new Set(due.filter(({ id }) => !unchanged.has(id)).map(({ key }) => key));
  }

  /** Begins conditions. Those of sources that are not live begin at once: only their next sweep, which is far away, would read them. */
  private async begin(
    manager: EntityManager,
    { begun }: SeenConditions,
    now: number,
    isPast: IsPast,
  ): Promise<SubjectRef[]> {
    const all = [...begun.values()]
      .map((one) => ({ ...one, isPast: isPast(one) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const live = all.filter(({ isLive }) => isLive);
    const others = all.filter(({ isLive }) => !isLive);
    const foreign = [...(await this.conditions.add(manager, live, null))];
    const left = live.filter((one) => !foreign.includes(one));
    foreign.push(...(await this.conditions.add(manager, others, now)));
    for (const one of foreign) this.report(one);
    return left.map(({ ref }) => ref);
  }

  private report({ key, sources: [source = ''], ref }: NewCondition): void {
    this.counters.reportOnce(
      'collidingKeys',
      `${source} trueFor`,
      () =>
        `The event ${shown(key)} of ${ref.root.name} ${shown(ref.id)} (${shown(source)}) does not begin to last: another entity or source ` +
        `yields that key with trueFor. Keys are unique across all groups: give the events of each entity a group of their own.`,
      { key, source, entity: ref.root.name, entityId: ref.id },
    );
  }
}

/** Transactions change rows in the same order. */
const sorted = (all: readonly { readonly condition: Condition }[]): Condition[] =>
  all.map(({ condition }) => condition).sort((a, b) => (a.key < b.key ? -1 : 1));

function recheckAgain(ref: SubjectRef, now: number, link: ChainLink, isDeeper: boolean): Recheck {
  const { cause } = link;
  const depth = link.depth + (isDeeper ? 1 : 0);
  if (!isTooDeep(depth)) return { ref, due: now, attempt: 0, depth, cause };
  const { pause, depth: after } = pauseOf(depth, false);
  return { ref, due: now + pause, attempt: 0, depth: after, cause };
}

// A recheck for a date begins a new chain.
const recheck = (ref: SubjectRef, due: number): Recheck => ({ ref, due, attempt: 0, ...CHAIN_START });
