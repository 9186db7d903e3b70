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
import { type DeliveryState } from '../database/delivery-states.js';
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
    columns: `d.id, d.event_id, d.handler, d.state, d.attempt, d.priority, d.due_at, d.started_at, d.finished_at, d.duration_ms,
      d.last_error, d.fingerprint, d.claimed_by, e.event_key, e.event_group, e.entity, e.entity_id, e.source, e.recorded_at`,
    order: ['d.event_id', 'd.id'],
    isDescending: true,
    cursorOf: (row: DeliveryRow) => [row.event_id, row.id],
    recordOf: (row) => ({
      id: String(row.id),
      event: { ...originOf(spark, row), id: String(row.event_id) },
      handler: row.handler,
      state: row.state,
      attempt: Number(row.attempt),
      priority: Number(row.priority),
      due: instant(row.due_at)!,
      started: instant(row.started_at),
      finished: instant(row.finished_at),
      durationMs: row.duration_ms === null ? undefined : Number(row.duration_ms),
      error: row.last_error ?? undefined,
      fingerprint: row.fingerprint ?? undefined,
      worker: row.claimed_by ?? undefined,
    }),
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

interface DeliveryRow extends OriginRow {
  id: string;
  event_id: string;
  handler: string;
  state: DeliveryState;
  attempt: number;
  priority: number;
  due_at: string;
  started_at: string | null;
  finished_at: string | null;
  duration_ms: number | null;
  last_error: string | null;
  fingerprint: string | null;
  claimed_by: string | null;
}

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
