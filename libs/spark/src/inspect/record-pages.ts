import { deliveryColumns, type DeliveryRow } from '../database/delivery-columns.js';
import { entryColumns, entryFrom, type EntryRow } from '../database/event-columns.js';
import { readMetadata } from '../event/event-metadata.js';
import {
  deliveryConditions,
  type DeliveryRecordFilter,
  eventConditions,
  type EventFilter,
  type FilteredEntity,
  recheckConditions,
  type RecheckFilter,
} from '../store/record-filter.js';
import { deliveryOf } from './delivery-of.js';
import { instant } from './instant.js';
import type { Inspected } from './inspected.js';
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
    cursorOf: (row: EventRow) => [row.id],
    recordOf: (row) => {
      const { at, until, depth, context, metadata } = entryFrom(row);
      const times = { at: instant(at), until: instant(until) };
      const given = { context: context ?? undefined, metadata: readMetadata(metadata) };
      return { ...originOf(spark, row), id: String(row.id), ...times, depth, ...given };
    },
  });
}

/** Reads deliveries, those of the latest events first. */
export function deliveryPage(
  spark: Inspected,
  filter: DeliveryRecordFilter,
  of: FilteredEntity | undefined,
  page: PageRequest,
): Promise<Page<DeliveryRecord>> {
  const { event, delivery } = spark.tables;
  return read(spark, page, deliveryConditions(filter, of, spark.tables), {
    from: `${delivery} d JOIN ${event} e ON e.id = d.event_id`,
    columns: `${deliveryColumns('d')}, e.event_key, e.event_group, e.entity, e.entity_id, e.source, e.recorded_at`,
    order: ['d.event_id', 'd.id'],
    isDescending: true,
    cursorOf: (row: DeliveryRow & OriginRow) => [row.event_id, row.id],
    recordOf: (row) => ({ ...deliveryOf(row), event: { ...originOf(spark, row), id: row.event_id } }),
  });
}

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
