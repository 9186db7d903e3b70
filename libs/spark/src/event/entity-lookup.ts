/** An entity class as contexts store it. */
export interface ClassRef {
  /** The name of the class, or of the class of an embedded part. */
  readonly entity: string;
  /**
   * The entity's table, which finds the entity after its class was renamed. Undefined for an embedded part, or when an older release
   * stored it.
   */
  readonly table?: string;
}

/** A reference to an entity. */
export interface EntityRef extends ClassRef {
  /** The entity's encoded key. */
  readonly id: string;
}

/** The entities of a DataSource, as the storage of contexts needs them. */
export interface EntityLookup {
  /**
   * The class of the value, if it is an entity class of this DataSource or the class of an embedded part. Embedded parts have no id,
   * and are stored within a snapshot only.
   */
  classOf(value: object): ClassRef | undefined;
  /** The encoded key of an entity; undefined when the entity has no key yet. */
  idOf(value: object): string | undefined;
  /** Creates an instance of that class with these values. Throws when there is no such class. */
  create(type: ClassRef, values: object): object;
}

/** Whether a stored value names a class. */
export function isClassRef(value: Record<string, unknown>): boolean {
  return typeof value.entity === 'string' && (value.table === undefined || typeof value.table === 'string');
}

/** The class that a stored value names, without the other properties of the value. */
export function classIn({ entity, table }: ClassRef): ClassRef {
  return table === undefined ? { entity } : { entity, table };
}
