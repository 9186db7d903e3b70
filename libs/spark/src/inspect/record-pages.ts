import { deliveryColumns, type DeliveryRow } from '../database/delivery-columns.js';
import type { DeliveryState } from '../database/delivery-states.js';
import { entryColumns, entryFrom, type EntryRow } from '../database/event-columns.js';
import { readMetadata } from '../event/event-metadata.js';
import type { TableNames } from '../database/table-names.js';
import {
  deliveryConditions,
  type DeliveryRecordFilter,
  eventConditions,
  type EventFilter,
  type FilteredEntity,
  inStates,
  isNarrow,
  OF_ENTITY,
  PREFIX_BOUNDS,
  recheckConditions,
  type RecheckFilter,
} from '../store/record-filter.js';
import { deliveryOf } from './delivery-of.js';
import { instant } from './instant.js';
import type { Inspected } from './inspected.js';
import type { Probe, Scan } from './page-window.js';
import { read } from './read-page.js';
import type { DeliveryRecord, EventRecord, Page, PageRequest, RecheckRecord } from './records.js';

/** Reads events, latest first. */
export function eventPage(
  spark: Inspected,
  filter: EventFilter,
  of: FilteredEntity | undefined,
  page: PageRequest,
): Promise<Page<EventRecord>> {
  const { event } = spark.tables;
  return read(spark, page, eventConditions(filter, of), {
    from: `${event} e`,
    columns: `e.id, ${entryColumns('e')}, e.recorded_at`,
    order: ['e.id'],
    isDescending: true,
    scan: isNarrow(filter)
      ? undefined
      : { from: `${event} e`, by: 'e.id', event: 'e.id', probes: probesOf(spark.tables, filter), filter },
    cursorOf: (row: EventRow) => [row.id],
    recordOf: (row) => {
      const { at, until, depth, context, metadata, cause } = entryFrom(row);
      const times = { at: instant(at), until: instant(until) };
      const given = { context: context ?? undefined, metadata: readMetadata(metadata) };
      return { ...originOf(spark, row), id: String(row.id), ...times, depth, causedBy: cause ?? undefined, ...given };
    },
  });
}

/** What the indexes of events find. */
const probesOf = ({ event }: TableNames, { keyPrefix, entity }: EventFilter): Probe[] => [
  ...(keyPrefix === undefined ? [] : [{ from: `${event} e`, where: PREFIX_BOUNDS, by: 'e.event_key' }]),
  ...(entity === undefined ? [] : [{ from: `${event} e`, where: OF_ENTITY, by: 'e.entity, e.entity_id' }]),
];

/**
 * Reads deliveries, those of the latest events first; held or discarded ones as an index has them, those that were opened last first,
 * unless the filter has times.
 */
export function deliveryPage(
  spark: Inspected,
  filter: DeliveryRecordFilter,
  of: FilteredEntity | undefined,
  page: PageRequest,
): Promise<Page<DeliveryRecord>> {
  const { event, delivery } = spark.tables;
  const byId = isById(filter);
  return read(spark, page, deliveryConditions(filter, of, spark.tables, page.readUpTo), {
    from: `${delivery} d JOIN ${event} e ON e.id = d.event_id`,
    columns: `${deliveryColumns('d')}, e.event_key, e.event_group, e.entity, e.entity_id, e.source, e.recorded_at`,
    order: byId ? ['d.id'] : ['d.event_id', 'd.id'],
    isDescending: true,
    scan: isNarrow(filter) ? undefined : deliveryScan(spark, filter, byId, page),
    cursorOf: (row: DeliveryRow & OriginRow) => (byId ? [row.id] : [row.event_id, row.id]),
    recordOf: (row) => ({ ...deliveryOf(row), event: { ...originOf(spark, row), id: row.event_id } }),
  });
}

/** Whether an index has the deliveries of a filter in the order of their ids. */
const isById = ({ state, from, to }: DeliveryRecordFilter): boolean =>
  (state === 'held' || state === 'discarded') && from === undefined && to === undefined;

function deliveryScan(
  { tables, dialect }: Inspected,
  filter: DeliveryRecordFilter,
  byId: boolean,
  { readUpTo = MOST_WAITING }: PageRequest,
): Scan {
  const { state, handler } = filter;
  const from = `${tables.delivery} d`;
  const events = dialect.lookedUp(tables.event, 'e', 'd.event_id');
  const scan = { from, event: 'd.event_id', probes: probesOf(tables, filter), filter };
  const list = `${from} ${events}`;
  if (byId) return { ...scan, list, by: 'd.id', where: inStates([state as DeliveryState]), most: MOST_APART };
  if (state !== 'available' && state !== 'running') return { ...scan, list, by: 'd.event_id' };
  // As the index of queues has them: those that are due first.
  const ofHandler = handler === undefined || state === 'running' ? '' : 'AND d.handler = :handler';
  const order = state === 'running' ? '' : 'ORDER BY d.handler, d.suspect, d.priority, d.partition_key, d.due_at, d.id';
  const some = `SELECT * FROM ${from} WHERE ${inStates([state])} ${ofHandler} ${order} LIMIT ${Math.min(readUpTo, MOST_WAITING)}`;
  return { ...scan, list: `(${some}) d ${events}`, isLimited: true, by: 'd.event_id' };
}

/** How many deliveries that wait or run are read at most, of all or of a handler. */
const MOST_WAITING = 5_000;
/** How many held or discarded deliveries are read at most: their rows, and those of their events, lie far apart. */
const MOST_APART = 5_000;

/** Reads rechecks, soonest first. */
export function recheckPage(
  spark: Inspected,
  filter: RecheckFilter,
  of: FilteredEntity | undefined,
  page: PageRequest,
): Promise<Page<RecheckRecord>> {
  return read(spark, page, recheckConditions(filter, of), {
    from: `${spark.tables.recheck} a`,
    columns: 'a.id, a.entity, a.entity_id, a.due_at, a.attempt',
    order: ['a.due_at', 'a.id'],
    isDescending: false,
    cursorOf: (row: RecheckRow) => [row.due_at, row.id],
    recordOf: (row) => ({
      id: String(row.id),
      entity: spark.entities.rootNamed(row.entity)?.name ?? row.entity,
      entityId: row.entity_id,
      due: instant(row.due_at)!,
      attempt: Number(row.attempt),
    }),
  });
}

type OriginRow = Pick<EntryRow, 'event_key' | 'event_group' | 'entity' | 'entity_id' | 'source'> & {
  recorded_at: string;
};

type EventRow = EntryRow & { id: string; recorded_at: string };

interface RecheckRow {
  id: string;
  entity: string;
  entity_id: string;
  due_at: string;
  attempt: number;
}

const originOf = ({ entities }: Inspected, row: OriginRow) => ({
  key: row.event_key,
  group: row.event_group,
  entity: row.entity === null ? undefined : (entities.rootNamed(row.entity)?.name ?? row.entity),
  entityId: row.entity_id ?? undefined,
  source: row.source ?? undefined,
  recorded: instant(row.recorded_at)!,
});
