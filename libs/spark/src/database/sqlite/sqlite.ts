import type { EntityManager } from 'typeorm';
import { completeAndAsk, notPaused, withEvents, type WithoutEvent } from '../claim-complete.js';
import type {
  ClaimedRow,
  ClaimRequest,
  Completion,
  Dialect,
  Entered,
  EnterRequest,
  KeysInRange,
  Owner,
  RowsByKey,
  KeyRange,
} from '../dialect.js';
import { OPENED_COLUMNS, OPENED_PLACES, openedRow, SET } from '../delivery-columns.js';
import { EVENT_COLUMNS, EVENT_PLACES, eventRow } from '../event-columns.js';
import { isOther, openingsOf, OWNER_COLUMNS, ownerOf, type OwnerRow, ownersFrom } from '../event-insert.js';
import { raw, select } from '../statement.js';
import { givenOf, keysInRangesSql, keysOfRow } from '../key-ranges.js';
import { directly } from './sqlite-statements.js';
import type { TableNames } from '../table-names.js';

/** The dialect of SQLite by better-sqlite3. SQLite has one writer at a time, so statements need not lock or skip rows. */
export class SqliteDialect implements Dialect {
  readonly longestKey = Infinity;
  readonly rechecksByTime = true;
  readonly readsMayBeStale = false;
  readonly skipsLocked = false;
  readonly returnsFromUpdate = false;
  readonly forUpdate = '';
  readonly isolation = undefined;
  readonly readOnly = {};
  readonly worksByStatement = false;
  readonly clock = `CAST((julianday('now') - 2440587.5) * 86400000 AS integer)`;

  private readonly ownerSql: string;
  private readonly insertSql: string;
  private readonly openSql: string;
  private readonly revisionSql: string;

  // The texts are built once, because building one takes as long as running it.
  constructor(private readonly tables: TableNames) {
    const { event, delivery, handler } = tables;
    this.ownerSql = `SELECT ${OWNER_COLUMNS} FROM ${event} WHERE event_key = ?`;
    this.insertSql = `INSERT INTO ${event} (${EVENT_COLUMNS}) VALUES (${EVENT_PLACES}) ON CONFLICT DO NOTHING`;
    this.openSql = `INSERT INTO ${delivery} (${OPENED_COLUMNS}) VALUES (${OPENED_PLACES})`;
    this.revisionSql = `SELECT SUM(revision) AS revision FROM ${handler}`;
  }

  returnsFromInsert(): boolean {
    return true;
  }

  isTransient(error: unknown): boolean {
    return ((error as { code?: string }).code ?? '').startsWith('SQLITE_BUSY');
  }

  insertOrIgnore(rows: string): string {
    return `INSERT ${rows} ON CONFLICT DO NOTHING`;
  }

  exclusively<T>(manager: EntityManager, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return manager.transaction(work);
  }

  // A claim writes, and there is one writer at a time.
  whileUnread<T>(manager: EntityManager, _: string, write: (manager: EntityManager) => Promise<T>): Promise<T> {
    return manager.transaction(write);
  }

  rowsByKey(manager: EntityManager, { column, sql }: RowsByKey, keys: readonly unknown[]): Promise<object[]> {
    return directly(manager, (statement) => {
      const row = statement(sql(`${column} = ?`));
      return keys.flatMap((key) => row.get<object>(key) ?? []);
    });
  }

  async ownersOf(manager: EntityManager, keys: readonly string[]): Promise<Map<string, Owner>> {
    // SQLite loops over the left side of a CROSS JOIN, so there is one index lookup for each key.
    const sql = `SELECT event_key, ${OWNER_COLUMNS} FROM json_each(?) k CROSS JOIN ${this.tables.event} WHERE event_key = k.value`;
    return ownersFrom(await raw(manager, sql, [JSON.stringify(keys)]));
  }

  async keysInRanges(manager: EntityManager, ranges: readonly KeyRange[]): Promise<KeysInRange[]> {
    const sql = keysInRangesSql(this.tables.event, ranges.length, 'group_concat', 'IS', () => '?');
    const [row] = await raw<Record<number, string>>(manager, sql, givenOf(ranges));
    return keysOfRow(ranges, row!);
  }

  enter(manager: EntityManager, { entries, opened, now, likelyNew }: EnterRequest): Promise<Entered> {
    return directly(manager, (statement) => {
      const ownerRow = statement(this.ownerSql);
      const insert = statement(this.insertSql);
      const open = statement(this.openSql);
      const fresh = new Set<string>();
      const others = new Map<string, Owner>();
      for (const entry of entries) {
        const { key, group } = entry;
        let known = likelyNew ? undefined : ownerRow.get<OwnerRow>(key);
        const inserted = known ? undefined : insert.run(...eventRow(entry, now));
        if (inserted?.changes === 1) {
          fresh.add(key);
          for (const opening of openingsOf(opened, [{ id: inserted.lastInsertRowid, event_group: group }]))
            open.run(...openedRow(opening, now));
          continue;
        }
        known ??= ownerRow.get(key);
        const owner = known && ownerOf(known);
        if (owner && isOther(owner, entry)) others.set(key, owner);
      }
      if (fresh.size === 0) return { fresh, others, revision: 0 };
      // The revision shows whether the deliveries were opened for all handlers.
      const sum = statement(this.revisionSql).get<{ revision: number | null }>();
      return { fresh, others, revision: Number(sum?.revision ?? 0) };
    });
  }

  async claim(manager: EntityManager, request: ClaimRequest): Promise<ClaimedRow[]> {
    const { worker, handlers, limit, now, suspect, passed } = request;
    const { delivery } = this.tables;
    const others = passed.length > 0 ? 'AND id NOT IN (:...passed)' : '';
    const rows = await select<WithoutEvent & Rank>(
      manager,
      `UPDATE ${delivery} SET ${SET.claimed()}
       WHERE id IN (SELECT id FROM ${delivery} WHERE state = 'available' AND due_at <= :now AND suspect = :suspect AND handler IN (:...handlers)
         ${notPaused(this.tables)} ${others} ORDER BY priority, due_at, id LIMIT :limit)
       RETURNING id, event_id, handler, attempt, priority, due_at`,
      { worker, handlers, limit, now, suspect: Number(suspect), passed },
    );
    return withEvents(manager, this.tables, rows.sort(byRank));
  }

  complete(manager: EntityManager, completion: Completion): Promise<Set<string>> {
    return completeAndAsk(manager, this.tables, this, completion);
  }
}

/** The order of deliveries. It is applied to the result, because an UPDATE returns its rows in any order. */
interface Rank {
  readonly id: string;
  readonly priority: number;
  readonly due_at: string | number;
}

const byRank = (a: Rank, b: Rank): number =>
  a.priority - b.priority || Number(a.due_at) - Number(b.due_at) || Number(a.id) - Number(b.id);
