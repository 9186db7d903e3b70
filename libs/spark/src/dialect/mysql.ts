import { randomUUID } from 'node:crypto';
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
import { chunks, execute, select, values } from './statement.js';
import type { TableNames } from './table-names.js';

const LOCK = 'nestjs-spark';
// Keeps a statement with long contexts below the smallest usual max_allowed_packet.
const ROWS = 500;

/** MariaDB and MySQL. */
export class MysqlDialect implements Dialect {
  readonly extraColumns = [{ name: 'token', type: 'char', length: '36', charset: 'ascii', collation: 'ascii_bin' }];
  readonly partialIndexes = false;
  readonly skipsLocked = true;
  readonly returnsFromUpdate = false;
  readonly forUpdate = 'FOR UPDATE';
  readonly isolation = 'READ COMMITTED';
  readonly clock = 'CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)';

  constructor(private readonly tables: TableNames) {}

  async types(manager: EntityManager): Promise<ColumnTypes> {
    // TypeORM's own version leaves out which of the two it is.
    const [server] = await select<{ version: string }>(manager, 'SELECT VERSION() AS version');
    // The usual collations take `a`, `A` and `a ` for one, utf8mb4_bin takes `a` and `a ` for one.
    const collation = /mariadb/i.test(server!.version) ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin';
    const exact = (length: number) => ({ type: 'varchar', length: String(length), charset: 'utf8mb4', collation });
    return {
      id: { name: 'id', type: 'bigint', isPrimary: true, isGenerated: true, generationStrategy: 'increment' },
      exact,
      subject: exact(512),
      longText: 'longtext',
    };
  }

  isTransient(error: unknown): boolean {
    return [1213, 1205].includes((error as { errno?: number }).errno ?? 0);
  }

  rowList(rows: string): string {
    return rows;
  }

  async exclusively<T>(manager: EntityManager, work: () => Promise<T>): Promise<T> {
    await execute(manager, `SELECT GET_LOCK('${LOCK}', 60)`);
    try {
      return await work();
    } finally {
      await execute(manager, `SELECT RELEASE_LOCK('${LOCK}')`);
    }
  }

  async enter(manager: EntityManager, entries: readonly Entry[], now: number): Promise<Entered> {
    const { fresh, otherGroup, revision } = await known(manager, this.tables, entries);
    const ids = new Map<string, string>();
    for (const part of chunks(fresh, ROWS)) {
      for (const [key, id] of await this.insertAbsent(manager, part, now)) ids.set(key, id);
    }
    for (const part of chunks(deliveriesOf(fresh, ids), ROWS)) await openDeliveries(manager, this.tables, part, now);
    return { ids, otherGroup, revision };
  }

  /** MySQL has no RETURNING: a token tells which of the rows this call inserted. */
  private async insertAbsent(manager: EntityManager, entries: readonly Entry[], now: number) {
    const { event } = this.tables;
    const token = randomUUID();
    const { sql, parameters } = values(entries.map((entry) => [...eventRow(entry, now), token]));
    const { affected } = await execute(
      manager,
      `INSERT IGNORE INTO ${event} (${EVENT_COLUMNS}, token) VALUES ${sql}`,
      parameters,
    );
    if (affected === 0) return new Map<string, string>();
    const rows = await select<EnteredRow>(
      manager,
      `SELECT id, event_key FROM ${event} WHERE event_key IN (:...keys) AND token = :token`,
      { keys: entries.map(({ key }) => key), token },
    );
    return enteredFrom(rows).ids;
  }

  async claim(manager: EntityManager, { worker, handlers, limit, now, suspect }: ClaimRequest): Promise<ClaimedRow[]> {
    const { delivery } = this.tables;
    const rows = await select<ClaimedRow>(
      manager,
      `SELECT id, event_id, handler, attempt + 1 AS attempt FROM ${delivery}
       WHERE state = 'available' AND due_at <= :now AND suspect = :suspect AND handler IN (:...handlers)
       ORDER BY priority, due_at, id LIMIT :limit FOR UPDATE SKIP LOCKED`,
      { handlers, limit, now, suspect: Number(suspect) },
    );
    if (rows.length === 0) return [];
    await execute(
      manager,
      `UPDATE ${delivery} SET state = 'running', attempt = attempt + 1, claimed_by = :worker, started_at = :now
       WHERE id IN (:...ids)`,
      { worker, now, ids: rows.map(({ id }) => id) },
    );
    return rows;
  }
}
