import type { EntityManager } from 'typeorm';
import type { ClaimedRow, ClaimRequest, ColumnTypes, Dialect, Entered, Entry } from './dialect.js';
import {
  deliveriesOf,
  enteredFrom,
  EVENT_COLUMNS,
  eventRow,
  known,
  openDeliveries,
  type EnteredRow,
} from './entered.js';
import { chunks, select, values } from './statement.js';
import type { TableNames } from './table-names.js';

// SQLite takes 32,766 parameters a statement.
const ROWS = 1_000;

/** SQLite by better-sqlite3: one writer at a time, so nothing has to be locked or passed over. */
export class SqliteDialect implements Dialect {
  readonly extraColumns = [];
  readonly partialIndexes = true;
  readonly skipsLocked = false;
  readonly returnsFromUpdate = false;
  readonly forUpdate = '';
  readonly isolation = undefined;
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

  rowList(rows: string): string {
    return `VALUES ${rows}`;
  }

  exclusively<T>(manager: EntityManager, work: () => Promise<T>): Promise<T> {
    return manager.transaction(work);
  }

  async enter(manager: EntityManager, entries: readonly Entry[], now: number): Promise<Entered> {
    const { fresh, otherGroup, revision } = await known(manager, this.tables, entries);
    const rows: EnteredRow[] = [];
    for (const part of chunks(fresh, ROWS)) {
      const { sql, parameters } = values(part.map((entry) => eventRow(entry, now)));
      const insert = `INSERT INTO ${this.tables.event} (${EVENT_COLUMNS}) VALUES ${sql}`;
      rows.push(
        ...(await select<EnteredRow>(manager, `${insert} ON CONFLICT DO NOTHING RETURNING id, event_key`, parameters)),
      );
    }
    const { ids } = enteredFrom(rows);
    for (const part of chunks(deliveriesOf(fresh, ids), ROWS)) await openDeliveries(manager, this.tables, part, now);
    return { ids, otherGroup, revision };
  }

  async claim(manager: EntityManager, { worker, handlers, limit, now, suspect }: ClaimRequest): Promise<ClaimedRow[]> {
    const { delivery } = this.tables;
    const rows = await select<ClaimedRow & { priority: number; due_at: number }>(
      manager,
      `UPDATE ${delivery} SET state = 'running', attempt = attempt + 1, claimed_by = :worker, started_at = :now
       WHERE id IN (SELECT id FROM ${delivery} WHERE state = 'available' AND due_at <= :now AND suspect = :suspect AND handler IN (:...handlers)
         ORDER BY priority, due_at, id LIMIT :limit)
       RETURNING id, event_id, handler, attempt, priority, due_at`,
      { worker, handlers, limit, now, suspect: Number(suspect) },
    );
    return rows.sort((a, b) => a.priority - b.priority || a.due_at - b.due_at || Number(a.id) - Number(b.id));
  }
}
