import type { EntityTarget, ObjectLiteral } from 'typeorm';

/** That changes of an entity concern a source's entity which it names by a column. Made by {@link touch}. */
export interface Touch {
  /** What is written. */
  readonly entity: EntityTarget<any>;
  /** The property that holds the id of the source's entity. */
  readonly key: (entity: any) => unknown;
}

/**
 * For `touchedBy` of an event source: saving, moving or removing an entity makes the source recheck the entity that
 * it names, and at the one that it named before. For what relations do not tell; those in `relations` touch by themselves.
 *
 * @param entity the entity class that is written
 * @param key the property that holds the id of the source's entity, or a list of them for a composite id, in the order of
 *   its primary columns. It is run once, at boot, to learn the columns: name properties, nothing else.
 * @returns what `touchedBy` takes
 * @throws UnknownEntityError, UnknownColumnError at boot, when the DataSource does not know the entity or the column
 *
 * @example
 * @EventSource(Challenge, { batch: true, touchedBy: [touch(Donation, (donation) => donation.challengeId)] })
 */
export function touch<E extends ObjectLiteral>(entity: EntityTarget<E>, key: (entity: E) => unknown): Touch {
  return { entity, key };
}
