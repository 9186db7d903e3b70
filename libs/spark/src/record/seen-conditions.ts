import type { Entry } from '../database/event-columns.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Condition, NewCondition } from '../store/conditions.js';
import type { SubjectRef } from '../entity/subject-ref.js';
import type { Source } from '../source/source.js';
import { sourceNames } from '../source/source.registry.js';

/** A condition, and what it is of. */
export interface ConditionOf {
  readonly condition: Condition;
  readonly ref: SubjectRef;
  readonly isLive: boolean;
}

/** A condition that begins, with what decides how the deliveries of its event would be opened. */
export type BegunCondition = NewCondition & Pick<ConditionOf, 'isLive'> & Pick<Entry, 'group' | 'source' | 'at'>;

/** What sources yield with `trueFor`, compared with the conditions that were there before their entities were read. */
export class SeenConditions {
  /** Those that have no row yet, by key. */
  readonly begun = new Map<string, BegunCondition>();
  /** Those whose row says not since when yet, with how long they have to last. */
  readonly confirmed: (ConditionOf & { readonly length: number })[] = [];
  /** Those that the source does not yield any more. */
  readonly broken: ConditionOf[] = [];
  /** Those that last, by key. */
  readonly lasting = new Map<string, Condition>();
  private readonly known = new Map<string, Map<string, Condition[]>>();
  /** The ids of conditions that were yielded, and the keys of events that were refused: nobody knows what they stand for. */
  private readonly kept = new Set<string>();
  private readonly refused = new Set<unknown>();

  get isEmpty(): boolean {
    return this.begun.size + this.confirmed.length + this.broken.length === 0;
  }

  /** The ids of the entities of which one condition has broken and another one has begun. */
  replaced(): Set<string> {
    const begun = new Set([...this.begun.values()].map(({ ref }) => ref.id));
    return new Set(this.broken.flatMap(({ ref }) => (begun.has(ref.id) ? [ref.id] : [])));
  }

  /** Tells which conditions there were. Call it before the entities are read. */
  know({ name }: Source, conditions: readonly Condition[]): void {
    const byId = new Map<string, Condition[]>();
    for (const condition of conditions)
      byId.set(condition.entityId, [...(byId.get(condition.entityId) ?? []), condition]);
    this.known.set(name, byId);
  }

  /** Notes a yielded event. Returns since when it has been yielded, undefined if that is not known yet. */
  yielded(source: Source, ref: SubjectRef, { key, group }: SparkEvent, length: number): number | undefined {
    const condition = this.of(source, ref.id).find((one) => one.key === key);
    if (!condition)
      this.begun.set(key, {
        key,
        group,
        at: null,
        source: source.name,
        sources: sourceNames(source),
        ref,
        isLive: source.live,
      });
    else if (!this.kept.has(condition.id)) {
      this.kept.add(condition.id);
      if (condition.since === undefined) this.confirmed.push({ condition, ref, isLive: source.live, length });
      else this.lasting.set(key, condition);
    }
    return condition?.since;
  }

  /** Leaves the condition of a refused event as it is. */
  refuse(key: unknown): void {
    this.refused.add(key);
  }

  /** Notes that a source has yielded all for an entity, or that it is not about it any more. */
  end(source: Source, ref: SubjectRef): void {
    for (const condition of this.of(source, ref.id))
      if (!this.kept.has(condition.id) && !this.refused.has(condition.key))
        this.broken.push({ condition, ref, isLive: source.live });
  }

  private of({ name }: Source, id: string): readonly Condition[] {
    return this.known.get(name)?.get(id) ?? [];
  }
}
