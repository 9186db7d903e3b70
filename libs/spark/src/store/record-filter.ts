import type { EntityMetadata, EntityTarget, ObjectLiteral } from 'typeorm';
import { DELIVERY_STATES, type DeliveryState } from '../database/delivery-states.js';
import type { TableNames } from '../database/table-names.js';
import { namesOf } from '../entity/entity-table.js';

/** Selects events. A field that is left out selects all. */
export interface EventFilter {
  /** The whole key, or a list of keys. */
  readonly key?: string | readonly string[];
  /** The beginning of the key. */
  readonly keyPrefix?: string;
  /** The number of the event, as in `EventRecord.id`, or a list of up to 10,000 of them. */
  readonly eventId?: string | readonly string[];
  /** The number of an event, or a list of up to 10,000 of them: selects the events that it led to, as in `EventRecord.causedBy`. */
  readonly causedBy?: string | readonly string[];
  readonly group?: string;
  /** The entity class that the events came from. Emitted events have none. */
  readonly entity?: EntityTarget<ObjectLiteral>;
  /** The id of the entity; needs `entity`. */
  readonly id?: unknown;
  /** The name of the source. */
  readonly source?: string;
  /** Entered at this instant or later. */
  readonly from?: Date;
  /** Entered before this instant. */
  readonly to?: Date;
}

/** Selects deliveries. A field that is left out selects all. */
export interface DeliveryRecordFilter extends EventFilter {
  /** The number of the delivery, as in `DeliveryRecord.id`, or a list of up to 10,000 of them. */
  readonly deliveryId?: string | readonly string[];
  /** The name of the handler. */
  readonly handler?: string;
  readonly state?: DeliveryState | readonly DeliveryState[];
  /** A part of the text of the last error, in upper or lower case. */
  readonly error?: string;
  /** The fingerprint of the last error. */
  readonly fingerprint?: string;
}

/** In place of a filter: selects all. */
export interface All {
  readonly all: true;
}

/** Selects rechecks. A field that is left out selects all. */
export interface RecheckFilter {
  /** The entity class. */
  readonly entity?: EntityTarget<ObjectLiteral>;
  /** The id of the entity; needs `entity`. */
  readonly id?: unknown;
  /** Due at this instant or later. */
  readonly from?: Date;
  /** Due before this instant. */
  readonly to?: Date;
}

/** An entity, or one row of it, that a filter names. */
export interface FilteredEntity {
  readonly root: EntityMetadata;
  readonly id: string | undefined;
}

/** A filter that was checked, and the entity that it names. */
export interface Chosen<F> {
  readonly filter: F;
  readonly of: FilteredEntity | undefined;
}

/** Conditions in SQL, and their parameters. */
export class Conditions {
  private readonly texts: string[] = [];

  constructor(
    /** The first parameters. `add` adds to them. */
    readonly parameters: ObjectLiteral = {},
  ) {}

  /** Adds a condition with its parameters, unless its value is undefined. */
  add(value: unknown, text: string, parameters: ObjectLiteral): this {
    if (value === undefined) return this;
    this.texts.push(text);
    Object.assign(this.parameters, parameters);
    return this;
  }

  /** `WHERE …`, or nothing. */
  get sql(): string {
    return this.texts.length === 0 ? '' : `WHERE ${this.texts.join(' AND ')}`;
  }
}

/** The conditions of a filter on rows of the events, which are called `e`. */
export function eventConditions(filter: EventFilter, of: FilteredEntity | undefined): Conditions {
  const { keyPrefix, group, source, from, to } = filter;
  const [keys, eventIds, causes] = [filter.key, filter.eventId, filter.causedBy].map(listOf);
  const conditions = new Conditions()
    .add(keys, 'e.event_key IN (:...keys)', { keys })
    .add(eventIds, 'e.id IN (:...eventIds)', { eventIds })
    .add(causes, 'e.caused_by IN (:...causes)', { causes })
    .add(group, 'e.event_group = :group', { group })
    .add(source, 'e.source = :source', { source })
    .add(from, 'e.recorded_at >= :from', { from: from?.getTime() })
    .add(to, 'e.recorded_at < :to', { to: to?.getTime() });
  if (keyPrefix !== undefined)
    conditions.add(keyPrefix, WITH_PREFIX, {
      prefix: keyPrefix,
      prefixEnd: keyPrefix + LAST.repeat(4),
      prefixLength: Array.from(keyPrefix).length,
    });
  return ofEntity(conditions, 'e', of);
}

// The last character of all, in the order of each database.
const LAST = '\u{10ffff}';

/** The bounds of the keys with a prefix, which let the database use the index. */
export const PREFIX_BOUNDS = 'e.event_key >= :prefix AND e.event_key <= :prefixEnd';

/** The condition that a key has a prefix. LIKE ignores case on SQLite, so SUBSTR compares it. */
const WITH_PREFIX = `${PREFIX_BOUNDS} AND SUBSTR(e.event_key, 1, :prefixLength) = :prefix`;

/** The condition that an event came from one of the names of an entity. */
export const OF_ENTITY = 'e.entity IN (:...names)';

const listOf = (value: string | readonly string[] | undefined): readonly string[] | undefined =>
  value === undefined ? undefined : [value].flat();

/** Whether few rows fit a filter, which an index finds. */
export const isNarrow = ({ key, eventId, causedBy, id, deliveryId, fingerprint }: DeliveryRecordFilter): boolean =>
  [key, eventId, causedBy, id, deliveryId, fingerprint].some((part) => part !== undefined);

/** The condition that a delivery is in one of these states. They are literals, as in the partial indexes: SQLite compares the texts of both. */
export const inStates = (states: readonly DeliveryState[]): string => {
  const known = DELIVERY_STATES.filter((state) => states.includes(state)).map((state) => `'${state}'`);
  return known.length === 1 ? `d.state = ${known[0]}` : `d.state IN (${known.join(', ')})`;
};

/**
 * The conditions of a filter on rows of the deliveries, which are called `d`, and of their events.
 *
 * @param most how many failed attempts with a fingerprint are read at most. Default: all
 */
export function deliveryConditions(
  filter: DeliveryRecordFilter,
  of: FilteredEntity | undefined,
  { attempt }: TableNames,
  most?: number,
): Conditions {
  const { handler, state, error, fingerprint } = filter;
  // The failed attempt with this fingerprint is kept, and an index finds it.
  const failed = `SELECT delivery_id FROM ${attempt} WHERE fingerprint = :fingerprint`;
  const latest = `SELECT delivery_id FROM (${failed} ORDER BY id DESC LIMIT ${most}) latest`;
  const withIt = `d.id IN (${most === undefined ? failed : latest})`;
  const deliveryIds = listOf(filter.deliveryId);
  return eventConditions(filter, of)
    .add(deliveryIds, 'd.id IN (:...deliveryIds)', { deliveryIds })
    .add(handler, 'd.handler = :handler', { handler })
    .add(state, inStates([state ?? []].flat()), {})
    .add(fingerprint, `d.fingerprint = :fingerprint AND ${withIt}`, { fingerprint })
    .add(error, `LOWER(d.last_error) LIKE :error ESCAPE '!'`, {
      error: `%${error?.toLowerCase().replaceAll(/[!%_]/g, '!$&')}%`,
    });
}

/** The conditions of a filter on rows of the rechecks, which are called `r`. */
export function recheckConditions({ from, to }: RecheckFilter, of: FilteredEntity | undefined): Conditions {
  const conditions = new Conditions()
    .add(from, 'a.due_at >= :from', { from: from?.getTime() })
    .add(to, 'a.due_at < :to', { to: to?.getTime() });
  return ofEntity(conditions, 'a', of);
}

function ofEntity(conditions: Conditions, table: string, of: FilteredEntity | undefined): Conditions {
  return conditions
    .add(of, `${table}.entity IN (:...names)`, { names: of && namesOf(of.root) })
    .add(of?.id, `${table}.entity_id = :id`, { id: of?.id });
}
