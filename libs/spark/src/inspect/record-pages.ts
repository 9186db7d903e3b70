import type { EntityManager } from 'typeorm';
import { entryColumns, entryFrom, type EntryRow } from '../database/event-columns.js';
import { select, withRunner } from '../database/statement.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { readMetadata } from '../event/event-metadata.js';
import {
  type Conditions,
  deliveryConditions,
  type DeliveryRecordFilter,
  type DeliveryState,
  eventConditions,
  type EventFilter,
  type FilteredEntity,
  recheckConditions,
  type RecheckFilter,
} from '../store/record-filter.js';
import { instant } from './instant.js';
import type { Inspected } from './inspected.js';
import type { DeliveryRecord, EventRecord, Page, PageRequest, RecheckRecord } from './records.js';

/** Events, the latest first. */
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

/** Deliveries, those of the latest events first. */
export function deliveryPage(
  spark: Inspected,
  filter: DeliveryRecordFilter,
  of: FilteredEntity | undefined,
  page: PageRequest,
): Promise<Page<DeliveryRecord>> {
  const { event, delivery } = spark.tables;
  return read(spark, page, deliveryConditions(filter, of), {
    from: `${delivery} d JOIN ${event} e ON e.id = d.event_id`,
    columns: `d.id, d.event_id, d.handler, d.state, d.attempt, d.priority, d.due_at, d.started_at, d.finished_at, d.duration_ms,
      d.last_error, d.claimed_by, e.event_key, e.event_group, e.entity, e.entity_id, e.source, e.recorded_at`,
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
      worker: row.claimed_by ?? undefined,
    }),
  });
}

/** Rechecks, the soonest first. */
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
  claimed_by: string | null;
}

interface RecheckRow {
  id: string;
  entity: string;
  entity_id: string;
  due_at: string;
  attempt: number;
}

/** How a list is read. */
interface Listing<Row, R> {
  readonly from: string;
  readonly columns: string;
  /** Columns of whole numbers that no two rows have the same of. */
  readonly order: readonly string[];
  readonly isDescending: boolean;
  readonly cursorOf: (row: Row) => readonly (string | number)[];
  readonly recordOf: (row: Row) => R;
}

const USUAL = 100;
const MOST = 1_000;

async function read<Row, R>(
  spark: Inspected,
  page: PageRequest,
  conditions: Conditions,
  listing: Listing<Row, R>,
): Promise<Page<R>> {
  const { from, columns, order, isDescending, cursorOf, recordOf } = listing;
  const { limit = USUAL, after, countUpTo } = page;
  checkPage(page, order.length);
  return withRunner(spark.dataSource.manager, async ({ manager }) => {
    const count = countUpTo === undefined ? undefined : await counted(manager, from, conditions, countUpTo);
    if (after !== undefined) {
      const cursor = Object.fromEntries(after.split('.').map((part, i) => [`after${i}`, Number(part)]));
      const names = order.map((_, i) => `:after${i}`).join();
      conditions.add(after, `(${order.join()}) ${isDescending ? '<' : '>'} (${names})`, cursor);
    }
    const by = order.map((column) => `${column} ${isDescending ? 'DESC' : 'ASC'}`).join();
    const sql = `SELECT ${columns} FROM ${from} ${conditions.sql} ORDER BY ${by} LIMIT ${limit + 1}`;
    const rows = await select<Row>(manager, sql, conditions.parameters);
    const isLast = rows.length <= limit;
    const shown = isLast ? rows : rows.slice(0, limit);
    return { records: shown.map(recordOf), next: isLast ? undefined : cursorOf(shown.at(-1)!).join('.'), count };
  });
}

async function counted(manager: EntityManager, from: string, { sql, parameters }: Conditions, most: number) {
  const count = `SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM ${from} ${sql} LIMIT ${most}) counted`;
  const [row] = await select<{ n: string }>(manager, count, parameters);
  return Number(row!.n);
}

/** Throws InvalidOptionsError. */
function checkPage({ limit = USUAL, after, countUpTo = 1 }: PageRequest, parts: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MOST)
    throw new InvalidOptionsError('limit', limit, `a whole number from 1 to ${MOST}`);
  if (!Number.isSafeInteger(countUpTo) || countUpTo < 1)
    throw new InvalidOptionsError('countUpTo', countUpTo, 'a whole number above 0');
  const isCursor = after === undefined || (after.split('.').length === parts && /^-?\d+(\.-?\d+)*$/.test(after));
  if (!isCursor) throw new InvalidOptionsError('after', after, 'the next of the page before');
}

const originOf = ({ entities }: Inspected, row: OriginRow) => ({
  key: row.event_key,
  group: row.event_group,
  entity: row.entity === null ? undefined : (entities.rootNamed(row.entity)?.name ?? row.entity),
  entityId: row.entity_id ?? undefined,
  source: row.source ?? undefined,
  recorded: instant(row.recorded_at)!,
});
