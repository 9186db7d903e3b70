import { randomUUID } from 'node:crypto';
import type { DataSource, EntityManager, EntityMetadata } from 'typeorm';
import { BOOT_LOCK_PATIENCE, BOOT_LOCK_TIMEOUT, BootLockError } from '../../error/boot-lock.error.js';
import { completeAndAsk, takeOverRead } from '../claim-complete.js';
import type { FoundQueue, OpenQueue } from '../claim-queues.js';
import type { DiscardedRequest } from '../latest-discarded.js';
import type {
  Claimed,
  ClaimedRow,
  ClaimRequest,
  Completion,
  Dialect,
  Dispatched,
  Entered,
  EnterRequest,
  KeysInRange,
  Opened,
  Owner,
  RowsByKey,
  KeyRange,
  TakeOver,
} from '../dialect.js';
import { OPENED_COLUMNS, openedRow } from '../delivery-columns.js';
import { type Entry, EVENT_COLUMNS, eventRow } from '../event-columns.js';
import { type OpenedEvent, openingsOf, othersOf, OWNER_COLUMNS, type OwnerRow, ownersFrom } from '../event-insert.js';
import { affected, chunks, execute, raw, rowsAsGiven, select } from '../statement.js';
import { withPatience } from '../statement-deadline.js';
import { BY_KEY, MysqlClaiming } from './mysql-claiming.js';
import { discardedByQueue } from './mysql-discarded.js';
import type { TableNames } from '../table-names.js';

// This keeps a statement below the smallest usual max_allowed_packet.
const ROWS = 500;
const PRIMARY = ' USE INDEX (`PRIMARY`)';
const LOCKED = 'LOCK IN SHARE MODE';
const NO_SUCH_INDEX = 1176;
// How long `whileUnread` waits for transactions that read the table, in seconds. Meanwhile new readers of the table wait, too.
const READERS_TIMEOUT = 1;

const INSERTED_COLUMNS = 'id, event_key, event_group, metadata';

/** A row of {@link INSERTED_COLUMNS}. */
interface InsertedRow extends OpenedEvent {
  readonly id: string;
  readonly event_key: string;
}

/** The dialect of MariaDB and MySQL. */
export class MysqlDialect implements Dialect {
  readonly longestKey = 512;
  readonly rechecksByTime = false;
  readonly readsMayBeStale = true;
  readonly heldOrder = 'handler, suspect, priority, partition_key, due_at, id';
  readonly skipsLocked = true;
  readonly locksNext = true;
  readonly returnsFromUpdate = false;
  readonly forUpdate = 'FOR UPDATE';
  readonly byKey = BY_KEY;
  readonly isolation = 'READ COMMITTED';
  readonly readOnly = { before: 'SET TRANSACTION READ ONLY' };
  readonly worksByStatement = false;
  readonly rowVersions = undefined;
  // It uses UTC, because local times are ambiguous in the hour when summer time ends.
  readonly clock = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000`;

  private readonly claiming: MysqlClaiming;

  constructor(private readonly tables: TableNames) {
    this.claiming = new MysqlClaiming(tables);
  }

  returnsFromInsert({ driver }: DataSource): boolean {
    return driver.isReturningSqlSupported('insert');
  }

  isTransient(error: unknown): boolean {
    return [1213, 1205].includes((error as { errno?: number }).errno ?? 0);
  }

  lookedUp(table: string, alias: string, id: string): string {
    return `STRAIGHT_JOIN ${table} ${alias} ${BY_KEY} ON ${alias}.id = ${id}`;
  }

  insertOrIgnore(rows: string): string {
    return `INSERT IGNORE ${rows}`;
  }

  async estimatedRows(manager: EntityManager, metadata: EntityMetadata): Promise<number | undefined> {
    const sql = `SELECT table_rows AS n FROM information_schema.tables
      WHERE table_schema = COALESCE(:database, DATABASE()) AND table_name = :table`;
    const names = { database: metadata.database ?? null, table: metadata.tableName };
    const [table] = await select<{ n: string | null }>(manager, sql, names);
    return table?.n === null || table === undefined ? undefined : Number(table.n);
  }

  async exclusively<T>(manager: EntityManager, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    // A named lock belongs to the whole server, and its name has at most 64 characters.
    const name = `CONCAT('nestjs-spark-', SHA1(CONCAT_WS('.', DATABASE(), :event)))`;
    const { event } = this.tables.plain;
    const get = `SELECT GET_LOCK(${name}, ${BOOT_LOCK_TIMEOUT / 1_000}) AS got`;
    const lock = () => select<{ got: string | number | null }>(manager, get, { event });
    const [row] = await withPatience(manager.queryRunner, BOOT_LOCK_PATIENCE, lock);
    if (Number(row!.got) !== 1) throw new BootLockError(BOOT_LOCK_TIMEOUT);
    try {
      return await work(manager);
    } finally {
      await execute(manager, `SELECT RELEASE_LOCK(${name})`, { event });
    }
  }

  // LOCK TABLES waits for transactions that have read the table.
  async whileUnread<T>(
    manager: EntityManager,
    table: string,
    write: (manager: EntityManager) => Promise<T>,
  ): Promise<T> {
    await execute(manager, 'SET @spark_lock_wait = @@lock_wait_timeout');
    await execute(manager, `SET lock_wait_timeout = ${READERS_TIMEOUT}`);
    try {
      await execute(manager, `LOCK TABLES ${table} WRITE`).catch(() => undefined);
      return await write(manager);
    } finally {
      await execute(manager, 'UNLOCK TABLES');
      await execute(manager, 'SET lock_wait_timeout = @spark_lock_wait');
    }
  }

  /**
   * The read locks the rows. Without a lock, a row that an UPDATE did not change is read as it was when the transaction began. The index
   * is forced, because without it a statement for several rows may lock all rows of a small table. A table that has no such index is
   * read row by row.
   */
  async rowsByKey(manager: EntityManager, { column, sql }: RowsByKey, keys: readonly unknown[], isNew: boolean) {
    const text = sql(`${column} IN (?)`);
    const read = (statement: string, some: readonly unknown[]) => rowsAsGiven(manager, statement, [some]);
    const plain = text.replace(PRIMARY, '');
    if (isNew) return read(plain, keys);
    const one = (key: unknown) => read(`${plain} ${LOCKED}`, [key]);
    if (keys.length === 1) return one(keys[0]);
    try {
      return await read(`${text.replace(PRIMARY, PRIMARY.replace('USE', 'FORCE'))} ${LOCKED}`, keys);
    } catch (error) {
      if ((error as { errno?: number }).errno !== NO_SUCH_INDEX) throw error;
      const rows: object[] = [];
      for (const key of keys) rows.push(...(await one(key)));
      return rows;
    }
  }

  async keysInRanges(manager: EntityManager, ranges: readonly KeyRange[]): Promise<KeysInRange[]> {
    const ofRange = `(SELECT event_key, ${OWNER_COLUMNS}, ? AS range_at FROM ${this.tables.event}
      WHERE event_key BETWEEN ? AND ? ORDER BY event_key LIMIT ?)`;
    const rows = await raw<OwnerRow & { event_key: string; range_at: number }>(
      manager,
      ranges.map(() => ofRange).join(' UNION ALL '),
      ranges.flatMap(({ first, last, most }, i) => [i, first, last, most]),
    );
    const along: string[][] = ranges.map(() => []);
    for (const { event_key: key, event_group: group, entity, entity_id: id, range_at: at } of rows) {
      const of = ranges[at]!;
      if (group === of.group && entity === of.entity) along[at]!.push(key, id ?? '');
    }
    return along;
  }

  async ownersOf(manager: EntityManager, keys: readonly string[]): Promise<Map<string, Owner>> {
    const sql = `SELECT event_key, ${OWNER_COLUMNS} FROM ${this.tables.event} WHERE event_key IN (?)`;
    return ownersFrom(await raw(manager, sql, [keys]));
  }

  async enter(manager: EntityManager, { entries, opened, now, likelyNew }: EnterRequest): Promise<Entered> {
    const known = likelyNew ? new Map<string, Owner>() : await this.ownersOf(manager, keysOf(entries));
    const fresh = new Set<string>();
    const absent = entries.filter(({ key }) => !known.has(key));
    for (const part of chunks(absent, ROWS)) {
      const inserted = await this.insertAbsent(manager, part, now);
      await this.open(manager, opened, inserted, now);
      for (const { event_key: key } of inserted) fresh.add(key);
    }
    const left = absent.filter(({ key }) => !fresh.has(key));
    const owners = left.length === 0 ? known : new Map([...known, ...(await this.ownersOf(manager, keysOf(left)))]);
    const revision = fresh.size === 0 ? 0 : await this.revision(manager);
    return { fresh, others: othersOf(entries, owners), revision };
  }

  /**
   * Reads the revision of the handlers. It is a separate statement: as a part of an INSERT it would lock the rows of the handlers for as
   * long as the application's transaction takes.
   */
  private async revision(manager: EntityManager): Promise<number> {
    const [row] = await raw<{ sum: string | null }>(
      manager,
      `SELECT SUM(revision) AS sum FROM ${this.tables.handler}`,
      [],
    );
    return Number(row!.sum ?? 0);
  }

  /** Inserts events and returns the new ones. MySQL has no RETURNING, so a token in the rows identifies them. */
  private async insertAbsent(manager: EntityManager, entries: readonly Entry[], now: number): Promise<InsertedRow[]> {
    const { event } = this.tables;
    const token = randomUUID();
    // The driver writes a list of lists as rows.
    const rows = entries.map((entry) => [...eventRow(entry, now), token]);
    const insert = `INSERT IGNORE INTO ${event} (${EVENT_COLUMNS}, token) VALUES ?`;
    if (this.returnsFromInsert(manager.dataSource))
      return raw(manager, `${insert} RETURNING ${INSERTED_COLUMNS}`, [rows]);
    if ((await affected(manager, insert, [rows])) === 0) return [];
    const inserted = `SELECT ${INSERTED_COLUMNS} FROM ${event} WHERE event_key IN (?) AND token = ?`;
    return raw(manager, inserted, [keysOf(entries), token]);
  }

  /**
   * Opens the deliveries of events that this transaction has inserted. An INSERT … SELECT would lock the neighbouring events until the
   * application's transaction ends. Other transactions that enter keys there would wait for it, and dead-lock.
   */
  private async open(
    manager: EntityManager,
    opened: readonly Opened[],
    events: readonly InsertedRow[],
    now: number,
  ): Promise<void> {
    const rows = openingsOf(opened, events).map((opening) => openedRow(opening, now));
    for (const part of chunks(rows, ROWS))
      await raw(manager, `INSERT INTO ${this.tables.delivery} (${OPENED_COLUMNS}) VALUES ?`, [part]);
  }

  queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]> {
    return this.claiming.queuesOf(manager, handlers);
  }

  handlersAwaited(manager: EntityManager): Promise<string[]> {
    return this.claiming.handlersAwaited(manager);
  }

  discardedSince(manager: EntityManager, request: DiscardedRequest): Promise<Map<string, number>> {
    return discardedByQueue(manager, this.tables, request);
  }

  waiting<Q extends OpenQueue>(manager: EntityManager, request: ClaimRequest<Q>): Promise<readonly Q[]> {
    return this.claiming.waiting(manager, request);
  }

  claim(manager: EntityManager, request: ClaimRequest): Promise<Claimed> {
    return this.claiming.claim(manager, request);
  }

  dispatch(manager: EntityManager, request: ClaimRequest, due: number): Promise<Dispatched> {
    return this.claiming.dispatch(manager, request, due);
  }

  takeOver(manager: EntityManager, request: TakeOver): Promise<ClaimedRow[]> {
    return takeOverRead(manager, this.tables, this, request);
  }

  complete(manager: EntityManager, completion: Completion): Promise<Set<string>> {
    return completeAndAsk(manager, this.tables, this, completion);
  }
}

const keysOf = (entries: readonly Entry[]): string[] => entries.map(({ key }) => key);
