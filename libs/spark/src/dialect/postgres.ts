import type { EntityManager } from 'typeorm';
import { completedBy, type Rank, ranked } from './claimed.js';
import type { ClaimedEventRow, ClaimRequest, ColumnTypes, Completion, Dialect, Entered, Entry } from './dialect.js';
import { enteredFrom, type EnteredRow, eventRow, groupsJson, keysByGroup } from './entered.js';
import { BASELINE } from './opening.js';
import { execute, prepared } from './statement.js';
import type { TableNames } from './table-names.js';

// Up to so many rows a statement is planned once for each number of them.
const FEW = 16;
const ADVISORY_LOCK = 0x5350_4152;

/** PostgreSQL. */
export class PostgresDialect implements Dialect {
  readonly extraColumns = [];
  readonly longestKey = Infinity;
  readonly partialIndexes = true;
  readonly skipsLocked = true;
  readonly returnsFromUpdate = true;
  readonly forUpdate = 'FOR UPDATE';
  readonly isolation = 'READ COMMITTED';
  readonly readOnly = { within: 'SET TRANSACTION READ ONLY' };
  readonly worksByStatement = true;
  readonly clock = 'CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)';

  private readonly enterSqls = new Map<string, string>();

  constructor(
    private readonly tables: TableNames,
    private readonly prepare: boolean,
  ) {}

  async types(): Promise<ColumnTypes> {
    return {
      id: { name: 'id', type: 'bigint', isPrimary: true, isGenerated: true, generationStrategy: 'increment' },
      exact: (length: number) => ({ type: 'varchar', length: String(length), collation: 'C' }),
      subject: { type: 'text', collation: 'C' },
      longText: 'text',
    };
  }

  isTransient(error: unknown): boolean {
    return ['40001', '40P01'].includes((error as { code?: string }).code ?? '');
  }

  insertOrIgnore(rows: string): string {
    return `INSERT ${rows} ON CONFLICT DO NOTHING`;
  }

  rowList(rows: string): string {
    return rows;
  }

  async exclusively<T>(manager: EntityManager, work: () => Promise<T>): Promise<T> {
    await execute(manager, `SELECT pg_advisory_lock(${ADVISORY_LOCK})`);
    try {
      return await work();
    } finally {
      await execute(manager, `SELECT pg_advisory_unlock(${ADVISORY_LOCK})`);
    }
  }

  rows(rows: readonly (readonly unknown[])[]): { sql: string; given: unknown[] } {
    let next = 1;
    const sql = rows.map((row) => `(${row.map(() => `$${next++}`).join(', ')})`);
    return { sql: `VALUES ${sql.join(', ')}`, given: rows.flat() };
  }

  async countKnown(manager: EntityManager, groups: ReadonlyMap<string, readonly string[]>): Promise<number> {
    let next = 1;
    // A look at the index for each key: no statistics can talk the planner into anything else.
    const group = `(SELECT event_group FROM ${this.tables.event} WHERE event_key = k)`;
    const ofGroup = () => `(SELECT count(*) FROM unnest($${next++}::text[]) k WHERE ${group} = $${next++})`;
    const counts = Array.from(groups, ofGroup);
    const given = Array.from(groups, ([name, keys]) => [arrayOf(keys), name]);
    const statement = counts.length <= FEW ? `spark-known-${counts.length}` : undefined;
    const sql = `SELECT ${counts.join(' + ')} AS known`;
    const [row] = await this.query<{ known: string }>(manager, statement, sql, given.flat());
    return Number(row!.known);
  }

  async unknown(manager: EntityManager, events: readonly Pick<Entry, 'key' | 'group'>[]): Promise<Set<string>> {
    const sql = `SELECT k.key FROM json_each($1) g CROSS JOIN json_array_elements_text(g.value) AS k(key)
      WHERE (SELECT e.event_group FROM ${this.tables.event} e WHERE e.event_key = k.key) IS DISTINCT FROM g.key`;
    const rows = await this.query<{ key: string }>(manager, 'spark-unknown', sql, [groupsJson(keysByGroup(events))]);
    return new Set(rows.map(({ key }) => key));
  }

  async enter(manager: EntityManager, entries: readonly Entry[], now: number): Promise<Entered> {
    const opened = entries.flatMap(({ key, opening, handlers }) =>
      handlers.map(({ name, priority }) => [key, name, priority, opening]),
    );
    const rows = entries.map((entry) => eventRow(entry, now).slice(0, -1));
    const isFew = rows.length <= FEW && opened.length <= FEW;
    const given = isFew ? [...rows.flat(), ...opened.flat()] : [...columnsOf(rows, 9), ...columnsOf(opened, 4)];
    const sql = this.enterSql(isFew ? rows.length : undefined, isFew ? opened.length : undefined);
    const name = isFew ? `spark-enter-${rows.length}-${opened.length}` : undefined;
    return enteredFrom(await this.query<EnteredRow>(manager, name, sql, [now, ...given]));
  }

  async claim(
    manager: EntityManager,
    { worker, handlers, limit, now, suspect }: ClaimRequest,
  ): Promise<ClaimedEventRow[]> {
    const { delivery, event } = this.tables;
    // Rows are found by their keys one by one, how many the planner may think there are.
    const rows = await this.query<ClaimedEventRow & Rank>(
      manager,
      'spark-claim',
      `WITH due AS MATERIALIZED (
         SELECT id FROM ${delivery} WHERE state = 'available' AND due_at <= $1 AND suspect = $2 AND handler = ANY($3::text[])
         ORDER BY priority, due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED),
       claimed AS (
         UPDATE ${delivery} d SET state = 'running', attempt = d.attempt + 1, claimed_by = $5, started_at = $1
         WHERE d.id = ANY(ARRAY(SELECT id FROM due)) RETURNING d.id, d.event_id, d.handler, d.attempt, d.priority, d.due_at)
       SELECT c.*, e.event_key, e.event_group, e.entity_id, e.source, e.context, e.at, e.until_at, e.depth
       FROM claimed c CROSS JOIN LATERAL (SELECT * FROM ${event} e WHERE e.id = c.event_id OFFSET 0) e`,
      [now, Number(suspect), handlers, limit, worker],
    );
    return ranked(rows);
  }

  async complete(manager: EntityManager, { worker, done, now, history }: Completion): Promise<Set<string>> {
    const { delivery } = this.tables;
    // The planner knows neither how many they are nor how many run: there is only the primary key for it to take.
    const one = `($1::jsonb -> CAST(d.id AS text)`;
    const ours = `d.id = ANY(ARRAY(SELECT CAST(k AS bigint) FROM jsonb_object_keys($1::jsonb) k))
      AND d.attempt = CAST(${one} ->> 0) AS int) AND COALESCE(d.state, '') = 'running' AND d.claimed_by = $2 RETURNING d.id`;
    const byId = Object.fromEntries(done.map(({ id, attempt, durationMs }) => [id, [attempt, Math.trunc(durationMs)]]));
    const given = [JSON.stringify(byId), worker];
    const rows = history
      ? await this.query<{ id: string }>(
          manager,
          'spark-complete',
          `UPDATE ${delivery} d SET state = 'completed', finished_at = $3, last_error = NULL, suspect = 0,
             duration_ms = CAST(${one} ->> 1) AS int) WHERE ${ours}`,
          [...given, now],
        )
      : await this.query<{ id: string }>(manager, 'spark-remove', `DELETE FROM ${delivery} d WHERE ${ours}`, given);
    const completed = new Set(rows.map(({ id }) => id));
    return completed.size === done.length || !history
      ? completed
      : completedBy(
          manager,
          this.tables,
          worker,
          done.map(({ id }) => id),
        );
  }

  /** Runs a statement that is planned once for each connection, by its name. */
  private query<R>(manager: EntityManager, name: string | undefined, sql: string, given: unknown[]): Promise<R[]> {
    return prepared<R>(manager, this.prepare ? name : undefined, sql, given);
  }

  /** Of so many events and deliveries, a row each, so that one plan fits; or of any number, as arrays. */
  private enterSql(events?: number, deliveries?: number): string {
    const shape = `${events} ${deliveries}`;
    const known = this.enterSqls.get(shape);
    if (known) return known;
    const { event, delivery, handler } = this.tables;
    const columns = 'event_key, event_group, entity, entity_id, source, context, at, until_at, depth';
    const types = ['text', 'text', 'text', 'text', 'text', 'text', 'bigint', 'bigint', 'int'];
    const given = rowsSql(2, types, events);
    const opened = rowsSql(2 + types.length * (events ?? 1), ['text', 'text', 'int', 'text'], deliveries);
    // A look at the index for each key: no statistics can talk the planner into anything else.
    const sql = `WITH given AS MATERIALIZED (
        SELECT g.*, (SELECT e.event_group FROM ${event} e WHERE e.event_key = g.event_key) AS known_group
        FROM ${given} AS g(${columns})),
      fresh AS (
        INSERT INTO ${event} (${columns}, recorded_at) SELECT ${columns}, $1::bigint
        FROM given WHERE known_group IS NULL ORDER BY event_key COLLATE "C"
        ON CONFLICT (event_key) DO NOTHING RETURNING id, event_key)${
          deliveries === 0
            ? ''
            : `, opened AS (
        INSERT INTO ${delivery} (event_id, handler, state, attempt, priority, suspect, due_at, finished_at, last_error)
        SELECT f.id, d.handler, d.state, 0, d.priority, 0, $1::bigint,
          CASE WHEN d.state = 'discarded' THEN $1::bigint END, CASE WHEN d.state = 'discarded' THEN '${BASELINE}' END
        FROM ${opened} AS d(event_key, handler, priority, state)
        JOIN fresh f ON f.event_key = d.event_key)`
        }
      SELECT id, event_key, NULL::text AS event_group, NULL::bigint AS revision FROM fresh
      UNION ALL SELECT NULL::bigint, event_key, known_group, NULL::bigint FROM given WHERE known_group <> event_group
      UNION ALL SELECT NULL::bigint, NULL::text, NULL::text, SUM(revision) FROM ${handler}`;
    this.enterSqls.set(shape, sql);
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
function arrayOf(list: readonly unknown[]): unknown {
  const json = JSON.stringify(list);
  // All that the two write differently, and some more.
  return /\\[^"\\]/.test(json) ? list : `{${json.slice(1, -1)}}`;
}
