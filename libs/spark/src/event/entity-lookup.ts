/** Where an entity that is stored as a reference can be found again. */
export interface EntityRef {
  readonly entity: string;
  /** The entity's encoded key. */
  readonly id: string;
}

/** What storing contexts needs to know of a DataSource's entities. */
export interface EntityLookup {
  /**
   * The entity's name when the value is an instance of an entity class of this DataSource. It may also name the class of an
   * embedded part: those have no id, and are stored within a snapshot only.
   */
  nameOf(value: object): string | undefined;
  /** The encoded key of an entity; undefined when it has none yet. */
  idOf(value: object): string | undefined;
  /** An instance of the class of that name with these values. Throws when there is no such class. */
  create(name: string, values: object): object;
}
