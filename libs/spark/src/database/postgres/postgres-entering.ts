import { partitionOf } from '../../event/event-metadata.js';
import { type EnterRequest, isOpenedFor, type Opened } from '../dialect.js';
import { type Entry, ENTRY, ENTRY_COLUMNS, EVENT_COLUMNS } from '../event-columns.js';
import { OPENED_COLUMNS, openedSql } from '../delivery-columns.js';
import type { InitialState } from '../delivery-states.js';
import type { TableNames } from '../table-names.js';

/** Rows in SQL: the text and its parameters. Rows of the same shape have the same text. */
interface Rows {
  readonly shape: string;
  readonly sql: (first: number) => string;
  readonly given: readonly unknown[];
}

/** Openings that belong to events by one of the events' columns. */
interface Asked {
  readonly by: 'event_group' | 'event_key';
  readonly rows: Rows;
}

interface Column<R> {
  readonly type: string;
  readonly of: (row: R) => unknown;
}

// Up to this many rows are written as VALUES. Up to this many openings the statement is planned once for each shape.
const FEW = 16;
// The owner of a key as one value, so that its row is looked up once.
const OWNER = 'ARRAY[e.event_group::text, e.entity::text, e.entity_id::text]';

/** Deliveries to open: of all events of a group, or of the event with a key if they differ from event to event. */
interface OpeningRow {
  readonly of: string;
  readonly name: string;
  readonly priority: number;
  readonly initialState: InitialState;
  readonly partition: string;
}

const OPENING: readonly Column<OpeningRow>[] = [
  { type: 'text', of: ({ of }) => of },
  { type: 'text', of: ({ name }) => name },
  { type: 'int', of: ({ priority }) => priority },
  { type: 'text', of: ({ initialState }) => initialState },
  { type: 'text', of: ({ partition }) => partition },
];

/** The openings of handlers for groups, and those for single events. */
function openingsOf(opened: readonly Opened[], entries: readonly Entry[]) {
  const [byGroup, byKey]: [OpeningRow[], OpeningRow[]] = [[], []];
  for (const one of opened) {
    const { groups, keys, partitionBy, ...opening } = one;
    if (partitionBy === undefined && !keys) for (const of of groups) byGroup.push({ ...opening, of, partition: '' });
    else
      for (const entry of entries)
        if (isOpenedFor(one, entry))
          byKey.push({ ...opening, of: entry.key, partition: partitionOf(entry.metadata, partitionBy) });
  }
  return { byGroup, byKey };
}

/** The statement that enters events and opens their deliveries on PostgreSQL in one go. */
export class PostgresEntering {
  /** The texts of the statements that have a name. */
  private readonly known = new Map<string, string>();

  constructor(private readonly tables: TableNames) {}

  /** The statement, its parameters, and the name under which a connection keeps its plan. */
  of({ entries, opened, now, likelyNew }: EnterRequest): { name: string | undefined; sql: string; given: unknown[] } {
    const { byGroup, byKey } = openingsOf(opened, entries);
    const isFew = byGroup.length <= FEW && byKey.length <= FEW;
    const rows = entries.length <= FEW && isFew ? asValues : asArrays;
    const events = rows(ENTRY, entries);
    const asked = (
      [
        ['event_group', byGroup],
        ['event_key', byKey],
      ] as const
    ).flatMap(([by, openings]) => (openings.length === 0 ? [] : [{ by, rows: rows(OPENING, openings) }]));
    const openShape = asked.map(({ by, rows: { shape } }) => (by === 'event_key' ? `key-${shape}` : shape)).join('-');
    const shape = `spark-enter${likelyNew ? '-new' : ''}-${events.shape}-${openShape || 0}`;
    const name = isFew ? shape : undefined;
    const sql = (name && this.known.get(name)) ?? this.sql(likelyNew, entries.length === 1, events, asked);
    if (name) this.known.set(name, sql);
    return { name, sql, given: [now, ...events.given, ...asked.flatMap(({ rows: { given } }) => given)] };
  }

  private sql(likelyNew: boolean, isOne: boolean, events: Rows, asked: readonly Asked[]): string {
    const { event, delivery, handler } = this.tables;
    // The first parameter is the time.
    const given = `${events.sql(2)} AS g(${ENTRY_COLUMNS})`;
    let next = 2 + events.given.length;
    const openings = asked.map(({ by, rows }) => {
      const sql = rows.sql(next);
      next += rows.given.length;
      return `SELECT ${openedSql('f.id', '$1::bigint')}
        FROM fresh f JOIN ${sql} AS o(${by}, handler, priority, state, partition_key) ON o.${by} = f.${by}`;
    });
    const sorted = (by: string) => (isOne ? '' : `ORDER BY ${by}`);
    // This form forces one index lookup for each key, for any statistics of the table.
    const looked = `WITH given AS MATERIALIZED (
        SELECT g.*, (SELECT ${OWNER} FROM ${event} e WHERE e.event_key = g.event_key) AS owner FROM ${given}),`;
    const opened = `, opened AS (
        INSERT INTO ${delivery} (${OPENED_COLUMNS}) ${openings.join(' UNION ALL ')} ${sorted('1')})`;
    const others = `UNION ALL SELECT event_key, owner[1], owner[2], owner[3], NULL::bigint FROM given
      WHERE owner <> ARRAY[event_group, entity, entity_id]`;
    return `${likelyNew ? 'WITH' : looked} fresh AS (
        INSERT INTO ${event} (${EVENT_COLUMNS}) SELECT ${ENTRY_COLUMNS}, $1::bigint
        FROM ${likelyNew ? given : 'given WHERE owner IS NULL'}
        ON CONFLICT (event_key) DO NOTHING RETURNING id, event_key, event_group)${openings.length === 0 ? '' : opened}
      SELECT event_key, NULL::text AS event_group, NULL::text AS entity, NULL::text AS entity_id, NULL::bigint AS revision FROM fresh ${likelyNew ? '' : others}
      UNION ALL SELECT NULL::text, NULL::text, NULL::text, NULL::text, SUM(revision) FROM ${handler}`;
  }
}

/** Rows as VALUES. There is one shape for each number of rows. */
function asValues<R>(columns: readonly Column<R>[], rows: readonly R[]): Rows {
  const sql = (first: number) => {
    let next = first;
    return `(VALUES ${rows.map(() => `(${columns.map(({ type }) => `$${next++}::${type}`).join()})`).join()})`;
  };
  const given: unknown[] = [];
  for (const row of rows) for (const { of } of columns) given.push(of(row));
  return { shape: `${rows.length}`, sql, given };
}

/** Rows as one array for each column, or a single value if all rows have the same. There is one shape for each choice of these. */
function asArrays<R>(columns: readonly Column<R>[], rows: readonly R[]): Rows {
  const values = columns.map(({ of }) => rows.map(of));
  // The first column is always an array, because it sets the number of rows.
  const isSame = values.map((column, at) => at > 0 && column.every((value) => value === column[0]));
  const sql = (first: number) => {
    const arrays: string[] = [];
    const list = columns.map(({ type }, at) => {
      const parameter = `$${first + at}::${type}`;
      return isSame[at] ? parameter : `a${arrays.push(`${parameter}[]`)}`;
    });
    const names = arrays.map((_, i) => `a${i + 1}`);
    return `(SELECT ${list.join()} FROM unnest(${arrays.join()}) AS u(${names.join()}))`;
  };
  const shape = isSame.map((same) => (same ? '1' : 'n')).join('');
  return { shape, sql, given: values.map((column, at) => (isSame[at] ? column[0] : arrayOf(column))) };
}

/** Writes a list of text, numbers and nulls as an array of PostgreSQL. It uses JSON, which is similar and much faster than the driver. */
export function arrayOf(list: readonly unknown[]): unknown {
  const json = JSON.stringify(list);
  // Lists with one of these characters are left to the driver. JSON and PostgreSQL may write them differently.
  return /\\[^"\\]/.test(json) ? list : `{${json.slice(1, -1)}}`;
}
