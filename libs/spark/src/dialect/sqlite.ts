import type { EntityManager } from 'typeorm';
import { completeAndAsk, type Rank, ranked, withEvents } from './claimed.js';
import type {
  ClaimedEventRow,
  ClaimedRow,
  ClaimRequest,
  ColumnTypes,
  Completion,
  Dialect,
  Entered,
  Entry,
} from './dialect.js';
import {
  deliveriesOf,
  enteredFrom,
  EVENT_COLUMNS,
  eventRow,
  groupsJson,
  keysByGroup,
  known,
  openDeliveries,
  type EnteredRow,
} from './entered.js';
import { chunks, raw, select } from './statement.js';
import type { TableNames } from './table-names.js';

// SQLite takes 32,766 parameters a statement.
const ROWS = 1_000;
// Statements of up to so many rows are compiled one by one.
const FEW = 16;

/** SQLite by better-sqlite3: one writer at a time, so nothing has to be locked or passed over. */
export class SqliteDialect implements Dialect {
  readonly extraColumns = [];
  readonly longestKey = Infinity;
  readonly partialIndexes = true;
  readonly skipsLocked = false;
  readonly returnsFromUpdate = false;
  readonly forUpdate = '';
  readonly isolation = undefined;
  readonly readOnly = {};
  readonly worksByStatement = false;
  readonly clock = `CAST((julianday('now') - 2440587.5) * 86400000 AS integer)`;

  constructor(private readonly tables: TableNames) {}

  async types(): Promise<ColumnTypes> {
    return {
      id: { name: 'id', type: 'integer', isPrimary: true, isGenerated: true, generationStrategy: 'increment' },
      exact: (length: number) => ({ type: 'varchar', length: String(length) }),
      subject: { type: 'text' },
      longText: 'text',
    };
  }

  isTransient(error: unknown): boolean {
    return ((error as { code?: string }).code ?? '').startsWith('SQLITE_BUSY');
  }

  insertOrIgnore(rows: string): string {
    return `INSERT ${rows} ON CONFLICT DO NOTHING`;
  }

  rowList(rows: string): string {
    return `VALUES ${rows}`;
  }

  exclusively<T>(manager: EntityManager, work: () => Promise<T>): Promise<T> {
    return manager.transaction(work);
  }

  // Of many rows in one parameter, so that one text fits any number of them and is compiled once.
  rows(rows: readonly (readonly unknown[])[]): { sql: string; given: unknown[] } {
    if (rows.length <= FEW) {
      const row = `(${rows[0]!.map(() => '?').join(', ')})`;
      return { sql: `VALUES ${rows.map(() => row).join(', ')}`, given: rows.flat() };
    }
    const columns = rows[0]!.map((_, column) => `value ->> ${column}`);
    return { sql: `SELECT ${columns.join(', ')} FROM json_each(?) WHERE true`, given: [JSON.stringify(rows)] };
  }

  async countKnown(manager: EntityManager, groups: ReadonlyMap<string, readonly string[]>): Promise<number> {
    const [row] = await raw<{ known: number }>(
      manager,
      `SELECT count(*) AS known FROM json_each(?) g CROSS JOIN json_each(g.value) k
       CROSS JOIN ${this.tables.event} e ON e.event_key = k.value AND e.event_group = g.key`,
      [groupsJson(groups)],
    );
    return row!.known;
  }

  async unknown(manager: EntityManager, events: readonly Pick<Entry, 'key' | 'group'>[]): Promise<Set<string>> {
    const rows = await raw<{ key: string }>(
      manager,
      `SELECT k.value AS key FROM json_each(?) g CROSS JOIN json_each(g.value) k
       WHERE (SELECT e.event_group FROM ${this.tables.event} e WHERE e.event_key = k.value) IS NOT g.key`,
      [groupsJson(keysByGroup(events))],
    );
    return new Set(rows.map(({ key }) => key));
  }

  async enter(manager: EntityManager, entries: readonly Entry[], now: number): Promise<Entered> {
    const keys = { sql: 'SELECT value FROM json_each(?)', given: JSON.stringify(entries.map(({ key }) => key)) };
    const { fresh, otherGroup, revision } = await known(manager, this.tables, entries, keys);
    const rows: EnteredRow[] = [];
    for (const part of chunks(fresh, ROWS)) {
      const { sql, given } = this.rows(part.map((entry) => eventRow(entry, now)));
      const insert = `INSERT INTO ${this.tables.event} (${EVENT_COLUMNS}) ${sql}`;
      rows.push(...(await raw<EnteredRow>(manager, `${insert} ON CONFLICT DO NOTHING RETURNING id, event_key`, given)));
    }
    const { ids } = enteredFrom(rows);
    for (const part of chunks(deliveriesOf(fresh, ids), ROWS))
      await openDeliveries(manager, this.tables, this, part, now);
    return { ids, otherGroup, revision };
  }

  async claim(
    manager: EntityManager,
    { worker, handlers, limit, now, suspect }: ClaimRequest,
  ): Promise<ClaimedEventRow[]> {
    const { delivery } = this.tables;
    const rows = await select<ClaimedRow & Rank>(
      manager,
      `UPDATE ${delivery} SET state = 'running', attempt = attempt + 1, claimed_by = :worker, started_at = :now
       WHERE id IN (SELECT id FROM ${delivery} WHERE state = 'available' AND due_at <= :now AND suspect = :suspect AND handler IN (:...handlers)
         ORDER BY priority, due_at, id LIMIT :limit)
       RETURNING id, event_id, handler, attempt, priority, due_at`,
      { worker, handlers, limit, now, suspect: Number(suspect) },
    );
    return withEvents(manager, this.tables, ranked(rows));
  }

  complete(manager: EntityManager, completion: Completion): Promise<Set<string>> {
    return completeAndAsk(manager, this.tables, this, completion);
  }
}
