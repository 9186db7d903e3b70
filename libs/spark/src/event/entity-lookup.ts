/** A class of an entity as contexts store it. */
export interface ClassRef {
  /** The name of the class, or of the class of an embedded part. */
  readonly entity: string;
  /** The entity's table, by which it is found again when the class was renamed. None: of an embedded part, or stored by an older release. */
  readonly table?: string;
}

/** Where an entity that is stored as a reference can be found again. */
export interface EntityRef extends ClassRef {
  /** The entity's encoded key. */
  readonly id: string;
}

/** What storing contexts needs to know of a DataSource's entities. */
export interface EntityLookup {
  /**
   * The entity's class when the value is an instance of an entity class of this DataSource. It may also be the class of an
   * embedded part: those have no id, and are stored within a snapshot only.
   */
  classOf(value: object): ClassRef | undefined;
  /** The encoded key of an entity; undefined when it has none yet. */
  idOf(value: object): string | undefined;
  /** An instance of that class with these values. Throws when there is no such class. */
  create(type: ClassRef, values: object): object;
}

/** Whether a stored value names a class. */
export function isClassRef(value: Record<string, unknown>): boolean {
  return typeof value.entity === 'string' && (value.table === undefined || typeof value.table === 'string');
}

/** The class that a stored value names. */
export function classIn({ entity, table }: ClassRef): ClassRef {
  return table === undefined ? { entity } : { entity, table };
}
