import type { EntityManager, EntityMetadata } from 'typeorm';
import {
  claimRead,
  completeAndAsk,
  dispatchRead,
  LOCKED_COLUMNS,
  type LockedRow,
  takeOverRead,
} from '../claim-complete.js';
import { ClaimRoom, type FoundQueue, type OpenQueue, queueFrom, type QueueRow } from '../claim-queues.js';
import {
  type Claimed,
  type ClaimedRow,
  type ClaimRequest,
  type Completion,
  type Dialect,
  type Dispatched,
  type Entered,
  type EnterRequest,
  isOpenedFor,
  type KeyRange,
  type KeysInRange,
  type Owner,
  type RowsByKey,
  type TakeOver,
} from '../dialect.js';
import { OPENED_COLUMNS, OPENED_PLACES, openedRow } from '../delivery-columns.js';
import { EVENT_COLUMNS, EVENT_PLACES, eventRow } from '../event-columns.js';
import { isOther, openingOf, OWNER_COLUMNS, ownerOf, type OwnerRow, ownersFrom } from '../event-insert.js';
import { raw } from '../statement.js';
import { givenOf, keysInRangesSql, keysOfRow } from '../key-ranges.js';
import { discardedById, type DiscardedRequest } from '../latest-discarded.js';
import { directly, type SqliteStatement } from './sqlite-statements.js';
import { type TableNames, tablePath } from '../table-names.js';

/** The dialect of SQLite by better-sqlite3. SQLite has one writer at a time, so statements need not lock or skip rows. */
export class SqliteDialect implements Dialect {
  readonly longestKey = Infinity;
  readonly rechecksByTime = true;
  readonly readsMayBeStale = false;
  readonly heldOrder = 'id';
  readonly skipsLocked = false;
  readonly locksNext = false;
  readonly returnsFromUpdate = false;
  readonly forUpdate = '';
  readonly byKey = '';
  readonly isolation = undefined;
  readonly readOnly = {};
  readonly worksByStatement = false;
  readonly rowVersions = undefined;
  readonly clock = `CAST((julianday('now') - 2440587.5) * 86400000 AS integer)`;

  private readonly ownerSql: string;
  private readonly insertSql: string;
  private readonly openSql: string;
  private readonly revisionSql: string;
  private readonly nextQueueSql: string;
  private readonly nextHandlerSql: string;
  private readonly dueSql: string;

  // The texts are built once, because building one takes as long as running it.
  constructor(private readonly tables: TableNames) {
    const { event, delivery, handler, pause } = tables;
    this.ownerSql = `SELECT ${OWNER_COLUMNS} FROM ${event} WHERE event_key = ?`;
    this.insertSql = `INSERT INTO ${event} (${EVENT_COLUMNS}) VALUES (${EVENT_PLACES}) ON CONFLICT DO NOTHING`;
    this.openSql = `INSERT INTO ${delivery} (${OPENED_COLUMNS}) VALUES (${OPENED_PLACES})`;
    this.revisionSql = `SELECT SUM(revision) AS revision FROM ${handler}`;
    this.nextQueueSql = `SELECT handler, suspect, priority, partition_key, due_at, id FROM ${delivery}
      WHERE state = 'available' AND handler = ? AND suspect = ? AND (priority, partition_key) > (?, ?)
      ORDER BY priority, partition_key, due_at, id LIMIT 1`;
    this.nextHandlerSql = `SELECT handler FROM ${delivery} WHERE state = 'available' AND handler > ? ORDER BY handler LIMIT 1`;
    this.dueSql = `SELECT ${LOCKED_COLUMNS} FROM ${delivery}
      WHERE state = 'available' AND handler = ? AND suspect = ? AND priority = ? AND partition_key = ? AND due_at BETWEEN ? AND ?
      AND id NOT IN (SELECT CAST(value AS integer) FROM json_each(?)) AND NOT EXISTS (SELECT 1 FROM ${pause} WHERE handler = ?)
      ORDER BY due_at, id LIMIT ?`;
  }

  returnsFromInsert(): boolean {
    return true;
  }

  isTransient(error: unknown): boolean {
    return ((error as { code?: string }).code ?? '').startsWith('SQLITE_BUSY');
  }

  lookedUp(table: string, alias: string, id: string): string {
    return `CROSS JOIN ${table} ${alias} ON ${alias}.id = ${id}`;
  }

  insertOrIgnore(rows: string): string {
    return `INSERT ${rows} ON CONFLICT DO NOTHING`;
  }

  // To count the rows, SQLite would read the whole table. A view and a table without row ids have no such number.
  async estimatedRows(manager: EntityManager, metadata: EntityMetadata): Promise<number | undefined> {
    const sql = `SELECT MAX(rowid) - MIN(rowid) + 1 AS n FROM ${tablePath(metadata)}`;
    const [table] = await raw<{ n: number | null }>(manager, sql, []).catch(() => []);
    return table === undefined ? undefined : Number(table.n ?? 0);
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
        const { key } = entry;
        let known = likelyNew ? undefined : ownerRow.get<OwnerRow>(key);
        const inserted = known ? undefined : insert.run(...eventRow(entry, now));
        if (inserted?.changes === 1) {
          fresh.add(key);
          const event = { id: inserted.lastInsertRowid, metadata: entry.metadata };
          for (const handler of opened)
            if (isOpenedFor(handler, entry)) open.run(...openedRow(openingOf(handler, event), now));
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

  queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]> {
    return directly(manager, (statement) => {
      const next = statement(this.nextQueueSql);
      return handlers.flatMap((handler) => {
        const found: FoundQueue[] = [];
        for (const suspect of [0, 1]) {
          let row = next.get<QueueRow>(handler, suspect, -Infinity, '');
          for (; row; row = next.get(handler, suspect, row.priority, row.partition_key)) found.push(queueFrom(row));
        }
        return found;
      });
    });
  }

  handlersAwaited(manager: EntityManager): Promise<string[]> {
    return directly(manager, (statement) => {
      const next = statement(this.nextHandlerSql);
      const found: string[] = [];
      let row = next.get<{ handler: string }>('');
      for (; row; row = next.get(row.handler)) found.push(row.handler);
      return found;
    });
  }

  discardedSince(manager: EntityManager, request: DiscardedRequest): Promise<Map<string, number>> {
    return discardedById(manager, this.tables, request);
  }

  waiting<Q extends OpenQueue>(manager: EntityManager, request: ClaimRequest<Q>): Promise<readonly Q[]> {
    return directly(manager, (statement) => {
      const due = this.dueOf(statement, request);
      return request.queues.filter((queue) => due(queue, 1).length > 0);
    });
  }

  async claim(manager: EntityManager, request: ClaimRequest): Promise<Claimed> {
    const { rows, isMore } = await this.due(manager, request);
    return { rows: await claimRead(manager, this.tables, request, rows), isMore };
  }

  async dispatch(manager: EntityManager, request: ClaimRequest, due: number): Promise<Dispatched> {
    return dispatchRead(manager, this.tables, request.worker, due, await this.due(manager, request));
  }

  takeOver(manager: EntityManager, request: TakeOver): Promise<ClaimedRow[]> {
    return takeOverRead(manager, this.tables, this, request);
  }

  /** Reads due deliveries of the queues. */
  private async due(manager: EntityManager, request: ClaimRequest): Promise<{ rows: LockedRow[]; isMore: boolean }> {
    const { queues } = request;
    const room = new ClaimRoom(request);
    const rows = await directly(manager, (statement) => {
      const due = this.dueOf(statement, request);
      return queues.flatMap((queue) => {
        const some = due(queue, room.in(queue));
        room.take(queue, some.length);
        return some;
      });
    });
    return { rows, isMore: room.isFull };
  }

  /** Returns a function that reads due deliveries of a queue. */
  private dueOf(statement: (sql: string) => SqliteStatement, { now, suspect, passed }: ClaimRequest) {
    const due = statement(this.dueSql);
    const others = JSON.stringify(passed);
    return ({ handler, priority, partition, from }: OpenQueue, most: number): LockedRow[] =>
      most <= 0
        ? []
        : due.all<LockedRow>(handler, Number(suspect), priority, partition, from, now, others, handler, most);
  }

  complete(manager: EntityManager, completion: Completion): Promise<Set<string>> {
    return completeAndAsk(manager, this.tables, this, completion);
  }
}
