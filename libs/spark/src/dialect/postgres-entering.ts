import type { EnterRequest } from './dialect.js';
import { DELIVERY_COLUMNS, eventRow } from './entered.js';
import { BASELINE } from './opening.js';
import type { TableNames } from './table-names.js';

// Up to so many rows a statement is planned once for each number of them.
const FEW = 16;

/** The statement that enters events and opens their deliveries on PostgreSQL, all at once. */
export class PostgresEntering {
  private readonly made = new Map<string, string>();

  constructor(private readonly tables: TableNames) {}

  /** The statement, its parameters, and the name under which a connection keeps its plan, where there is one for all. */
  of({ entries, opened, now, likelyNew }: EnterRequest): { name: string | undefined; sql: string; given: unknown[] } {
    const rows = entries.map((entry) => eventRow(entry, now).slice(0, -1));
    const openings = opened.flatMap(({ name, priority, opening, groups }) =>
      groups.map((group) => [group, name, priority, opening]),
    );
    const isFew = rows.length <= FEW && openings.length <= FEW;
    const shape = `spark-enter${likelyNew ? '-new' : ''}${isFew ? `-${rows.length}-${openings.length}` : ''}`;
    return {
      name: isFew ? shape : undefined,
      sql: this.sql(shape, likelyNew, isFew ? rows.length : undefined, isFew ? openings.length : undefined),
      given: [
        now,
        ...(isFew ? [...rows.flat(), ...openings.flat()] : [...columnsOf(rows, 9), ...columnsOf(openings, 4)]),
      ],
    };
  }

  /** Of so many events and openings, a row each, so that one plan fits; or of any number, as arrays. */
  private sql(name: string, likelyNew: boolean, events?: number, openings?: number): string {
    const made = this.made.get(name);
    if (made) return made;
    const { event, delivery, handler } = this.tables;
    const columns = 'event_key, event_group, entity, entity_id, source, context, at, until_at, depth';
    const types = ['text', 'text', 'text', 'text', 'text', 'text', 'bigint', 'bigint', 'int'];
    const given = `${rowsSql(2, types, events)} AS g(${columns})`;
    const opened = rowsSql(2 + types.length * (events ?? 1), ['text', 'text', 'int', 'text'], openings);
    // A look at the index for each key: no statistics can talk the planner into anything else.
    const looked = `WITH given AS MATERIALIZED (
        SELECT g.*, (SELECT e.event_group FROM ${event} e WHERE e.event_key = g.event_key) AS known_group FROM ${given}),`;
    const sql = `${likelyNew ? 'WITH' : looked}
      fresh AS (
        INSERT INTO ${event} (${columns}, recorded_at) SELECT ${columns}, $1::bigint
        FROM ${likelyNew ? given : 'given WHERE known_group IS NULL'} ORDER BY event_key COLLATE "C"
        ON CONFLICT (event_key) DO NOTHING RETURNING id, event_key, event_group)${
          openings === 0
            ? ''
            : `, opened AS (
        INSERT INTO ${delivery} (${DELIVERY_COLUMNS})
        SELECT f.id, o.handler, o.state, 0, o.priority, 0, $1::bigint,
          CASE WHEN o.state = 'discarded' THEN $1::bigint END, CASE WHEN o.state = 'discarded' THEN '${BASELINE}' END
        FROM fresh f JOIN ${opened} AS o(event_group, handler, priority, state) ON o.event_group = f.event_group)`
        }
      SELECT event_key, NULL::text AS event_group, NULL::bigint AS revision FROM fresh
      ${likelyNew ? '' : 'UNION ALL SELECT event_key, known_group, NULL::bigint FROM given WHERE known_group <> event_group'}
      UNION ALL SELECT NULL::text, NULL::text, SUM(revision) FROM ${handler}`;
    this.made.set(name, sql);
    return sql;
  }
}

/** Rows from the n-th parameter on: as VALUES, or from an array for each column. */
function rowsSql(first: number, types: readonly string[], count: number | undefined): string {
  let next = first;
  if (count === undefined) return `unnest(${types.map((type) => `$${next++}::${type}[]`).join(', ')})`;
  const rows = Array.from({ length: count }, () => `(${types.map((type) => `$${next++}::${type}`).join(', ')})`);
  return `(VALUES ${rows.join(', ')})`;
}

const columnsOf = (rows: readonly (readonly unknown[])[], count: number): unknown[] =>
  Array.from({ length: count }, (_, column) => arrayOf(rows.map((row) => row[column])));

/** A list of text, numbers and nulls as PostgreSQL reads it: nearly JSON, which is written in a fraction of the driver's time. */
export function arrayOf(list: readonly unknown[]): unknown {
  const json = JSON.stringify(list);
  // All that the two write differently, and some more.
  return /\\[^"\\]/.test(json) ? list : `{${json.slice(1, -1)}}`;
}
