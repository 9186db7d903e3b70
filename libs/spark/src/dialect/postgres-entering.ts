import type { EnterRequest } from './dialect.js';
import { DELIVERY_COLUMNS, ENTRY_COLUMNS, entryRow, EVENT_COLUMNS } from './entered.js';
import { BASELINE } from './opening.js';
import type { TableNames } from './table-names.js';

/** A list of rows in SQL, and its parameters. */
interface Rows {
  readonly sql: string;
  readonly given: readonly unknown[];
}

// Up to so many rows a statement is planned once for each number of them.
const FEW = 16;
const ENTRY_TYPES = ['text', 'text', 'text', 'text', 'text', 'text', 'bigint', 'bigint', 'int'];
const OPENING_TYPES = ['text', 'text', 'int', 'text'];

/** The statement that enters events and opens their deliveries on PostgreSQL, all at once. */
export class PostgresEntering {
  /** The texts of those that have a name. */
  private readonly known = new Map<string, string>();

  constructor(private readonly tables: TableNames) {}

  /** The statement, its parameters, and the name under which a connection keeps its plan, where there are few rows. */
  of({ entries, opened, now, likelyNew }: EnterRequest): { name: string | undefined; sql: string; given: unknown[] } {
    const events = entries.map(entryRow);
    const openings = opened.flatMap(({ name, priority, opening, groups }) =>
      groups.map((group) => [group, name, priority, opening]),
    );
    const isFew = events.length <= FEW && openings.length <= FEW;
    const name = isFew ? `spark-enter${likelyNew ? '-new' : ''}-${events.length}-${openings.length}` : undefined;
    const known = name && this.known.get(name);
    if (known) return { name, sql: known, given: [now, ...events.flat(), ...openings.flat()] };
    const rows = isFew ? asValues : asArrays;
    // The first parameter is the time.
    const given = rows(2, ENTRY_TYPES, events);
    const asked = openings.length === 0 ? undefined : rows(2 + given.given.length, OPENING_TYPES, openings);
    const sql = this.sql(likelyNew, given.sql, asked?.sql);
    if (name) this.known.set(name, sql);
    return { name, sql, given: [now, ...given.given, ...(asked?.given ?? [])] };
  }

  private sql(likelyNew: boolean, events: string, openings: string | undefined): string {
    const { event, delivery, handler } = this.tables;
    const given = `${events} AS g(${ENTRY_COLUMNS})`;
    // A look at the index for each key: no statistics can talk the planner into anything else.
    const looked = `WITH given AS MATERIALIZED (
        SELECT g.*, (SELECT e.event_group FROM ${event} e WHERE e.event_key = g.event_key) AS known_group FROM ${given}),`;
    const opened = `, opened AS (
        INSERT INTO ${delivery} (${DELIVERY_COLUMNS})
        SELECT f.id, o.handler, o.state, 0, o.priority, 0, $1::bigint,
          CASE WHEN o.state = 'discarded' THEN $1::bigint END, CASE WHEN o.state = 'discarded' THEN '${BASELINE}' END
        FROM fresh f JOIN ${openings} AS o(event_group, handler, priority, state) ON o.event_group = f.event_group ORDER BY f.id)`;
    const others = 'UNION ALL SELECT event_key, known_group, NULL::bigint FROM given WHERE known_group <> event_group';
    return `${likelyNew ? 'WITH' : looked} fresh AS (
        INSERT INTO ${event} (${EVENT_COLUMNS}) SELECT ${ENTRY_COLUMNS}, $1::bigint
        FROM ${likelyNew ? given : 'given WHERE known_group IS NULL'} ORDER BY event_key COLLATE "C"
        ON CONFLICT (event_key) DO NOTHING RETURNING id, event_key, event_group)${openings === undefined ? '' : opened}
      SELECT event_key, NULL::text AS event_group, NULL::bigint AS revision FROM fresh ${likelyNew ? '' : others}
      UNION ALL SELECT NULL::text, NULL::text, SUM(revision) FROM ${handler}`;
  }
}

/** Rows as VALUES, their parameters numbered from `first` on: one text for each number of rows. */
function asValues(first: number, types: readonly string[], rows: readonly (readonly unknown[])[]): Rows {
  let next = first;
  const sql = rows.map(() => `(${types.map((type) => `$${next++}::${type}`).join(', ')})`);
  return { sql: `(VALUES ${sql.join(', ')})`, given: rows.flat() };
}

/** Rows as an array for each column, and as a single value for columns in which all rows have the same. */
function asArrays(first: number, types: readonly string[], rows: readonly (readonly unknown[])[]): Rows {
  const given: unknown[] = [];
  const arrays: string[] = [];
  const columns = types.map((type, at) => {
    const values = rows.map((row) => row[at]);
    // The first column says how many rows there are.
    const isSame = at > 0 && values.every((value) => value === values[0]);
    const parameter = `$${first + given.push(isSame ? values[0] : arrayOf(values)) - 1}`;
    if (isSame) return `${parameter}::${type}`;
    return `a${arrays.push(`${parameter}::${type}[]`)}`;
  });
  const names = arrays.map((_, i) => `a${i + 1}`);
  return { sql: `(SELECT ${columns.join(', ')} FROM unnest(${arrays.join(', ')}) AS u(${names.join(', ')}))`, given };
}

/** A list of text, numbers and nulls as PostgreSQL reads it: nearly JSON, which is written in a fraction of the driver's time. */
export function arrayOf(list: readonly unknown[]): unknown {
  const json = JSON.stringify(list);
  // All that the two write differently, and some more.
  return /\\[^"\\]/.test(json) ? list : `{${json.slice(1, -1)}}`;
}
