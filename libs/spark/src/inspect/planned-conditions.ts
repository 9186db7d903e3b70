import type { Derivation } from '../record/derivation.js';
import type { Source } from '../source/source.js';
import type { Condition } from '../store/conditions.js';
import type { Inspected } from './inspected.js';

/** The conditions of a source's entities, as they are now. */
export async function conditionsOf({ transactions, conditions }: Inspected, source: Source, ids: readonly string[]) {
  if (!source.options.trueFor) return [];
  return transactions.reading((manager) => conditions.of(manager, source, ids));
}

/** The conditions of a page of a plan, as they would change with its instants. */
export class PlannedConditions {
  private readonly known = new Map<Source, readonly Condition[]>();

  know(source: Source, conditions: readonly Condition[]): void {
    this.known.set(source, conditions);
  }

  tell(source: Source, { conditions }: Derivation): void {
    conditions.know(source, this.known.get(source) ?? []);
  }

  /** Changes the conditions by what the source has yielded at an instant. Returns when those that have begun become true. */
  change(source: Source, { conditions, future }: Derivation, instant: number) {
    if (conditions.isEmpty) return [];
    const gone = new Set([...conditions.broken, ...conditions.confirmed].map(({ condition }) => condition.id));
    const begun = [
      ...[...conditions.begun.values()].map(({ key, ref }) => ({ key, entityId: ref.id })),
      ...conditions.confirmed.map(({ condition: { key, entityId } }) => ({ key, entityId })),
    ].map((one) => ({ ...one, id: `planned ${one.key}`, since: instant, isPast: false }));
    const kept = (this.known.get(source) ?? []).filter(({ id }) => !gone.has(id));
    this.known.set(source, [...kept, ...begun]);
    const keys = new Set(begun.map(({ key }) => key));
    return future.flatMap(({ event, at, ref }) =>
      ref && keys.has(event.key) ? [{ source, id: ref.id, due: at }] : [],
    );
  }
}
