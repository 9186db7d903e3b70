import type { EntityTarget, ObjectLiteral } from 'typeorm';

/** An entity that holds the id of a source's entity in its columns, so that its changes concern the source. Made by {@link touch}. */
export interface Touch {
  /** The entity that is written. */
  readonly entity: EntityTarget<any>;
  /** The property that holds the id of the source's entity. */
  readonly key: (entity: any) => unknown;
}

/**
 * Makes an entry for `touchedBy` of an event source. When the given entity is saved, moved or removed, Spark rechecks the entity whose
 * id it holds, and the one whose id it held before. Use it where no relation leads from one to the other. Entities in `relations`
 * touch without it.
 *
 * @param entity the entity class that is written
 * @param key returns the property that holds the id of the source's entity. For a composite id, it returns a list of properties in the
 *   order of the primary columns. Spark calls it once, at boot, to find the columns, so it must only name properties.
 * @returns an entry for `touchedBy`
 * @throws UnknownEntityError, UnknownColumnError at boot, when the DataSource has no such entity or column
 *
 * @example
 * @EventSource(Challenge, { batch: true, touchedBy: [touch(Donation, (donation) => donation.challengeId)] })
 */
export function touch<E extends ObjectLiteral>(entity: EntityTarget<E>, key: (entity: E) => unknown): Touch {
  return { entity, key };
}
