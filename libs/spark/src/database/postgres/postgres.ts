import type { EntityManager, EntityMetadata } from 'typeorm';
import { BOOT_LOCK_PATIENCE, BOOT_LOCK_TIMEOUT, BootLockError } from '../../error/boot-lock.error.js';
import { completedBy } from '../claim-complete.js';
import type { FoundQueue, OpenQueue } from '../claim-queues.js';
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
  Owner,
  RowsByKey,
  KeyRange,
  TakeOver,
} from '../dialect.js';
import { SET } from '../delivery-columns.js';
import { enteredFrom, type EnteredRow, othersOf, OWNER_COLUMNS, ownersFrom } from '../event-insert.js';
import { PostgresClaiming } from './postgres-claiming.js';
import { arrayOf, PostgresEntering } from './postgres-entering.js';
import { givenOf, keysInRangesSql, keysOfRow } from '../key-ranges.js';
import { discardedById, type DiscardedRequest } from '../latest-discarded.js';
import { execute, prepared, rowsAsGiven, select } from '../statement.js';
import { withPatience } from '../statement-deadline.js';
import { type TableNames, tablePath } from '../table-names.js';
import { rowVersions } from './row-versions.js';

// Up to this many groups a statement is planned once for each number of groups.
const FEW = 16;
const ADVISORY_LOCK = 0x5350_4152;
const LOCK_NOT_AVAILABLE = '55P03';
// How long `whileUnread` waits for transactions that read the table, in milliseconds. Meanwhile new readers of the table wait, too.
const READERS_TIMEOUT = 1_000;

/** The dialect of PostgreSQL. */
export class PostgresDialect implements Dialect {
  readonly longestKey = Infinity;
  readonly rechecksByTime = false;
  readonly readsMayBeStale = false;
  readonly heldOrder = 'id';
  readonly skipsLocked = true;
  readonly locksNext = false;
  readonly returnsFromUpdate = true;
  readonly forUpdate = 'FOR UPDATE';
  readonly byKey = '';
  readonly isolation = 'READ COMMITTED';
  readonly readOnly = { within: 'SET TRANSACTION READ ONLY' };
  readonly worksByStatement = true;
  readonly rowVersions = rowVersions;
  readonly clock = 'CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)';

  private readonly entering: PostgresEntering;
  private readonly claiming: PostgresClaiming;
  private readonly names = {
    complete: replanned('spark-complete'),
    remove: replanned('spark-remove'),
  };

  constructor(
    private readonly tables: TableNames,
    private readonly prepare: boolean,
  ) {
    this.entering = new PostgresEntering(tables);
    this.claiming = new PostgresClaiming(tables, prepare);
  }

  returnsFromInsert(): boolean {
    return true;
  }

  isTransient(error: unknown): boolean {
    return ['40001', '40P01'].includes((error as { code?: string }).code ?? '');
  }

  lookedUp(table: string, alias: string, id: string): string {
    return `CROSS JOIN LATERAL (SELECT * FROM ${table} r WHERE r.id = ${id} OFFSET 0) ${alias}`;
  }

  insertOrIgnore(rows: string): string {
    return `INSERT ${rows} ON CONFLICT DO NOTHING`;
  }

  // A table that was never analyzed has -1 rows.
  async estimatedRows(manager: EntityManager, metadata: EntityMetadata): Promise<number | undefined> {
    const sql = 'SELECT reltuples AS rows FROM pg_class WHERE oid = CAST(to_regclass(:path) AS oid)';
    const [table] = await select<{ rows: number }>(manager, sql, { path: tablePath(metadata) });
    return table && Number(table.rows) >= 0 ? Number(table.rows) : undefined;
  }

  // A pooler in transaction mode gives each transaction another session, so only a lock of the transaction is surely released.
  exclusively<T>(manager: EntityManager, work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return manager.transaction(async (inner) => {
      await execute(inner, `SET LOCAL lock_timeout = ${BOOT_LOCK_TIMEOUT}`);
      const lock = () => execute(inner, `SELECT pg_advisory_xact_lock(${ADVISORY_LOCK})`);
      await withPatience(inner.queryRunner, BOOT_LOCK_PATIENCE, lock).catch((error: { code?: string }) => {
        throw error.code === LOCK_NOT_AVAILABLE ? new BootLockError(BOOT_LOCK_TIMEOUT) : error;
      });
      return work(inner);
    });
  }

  // A statement locks the tables that it reads before it takes its snapshot, so later ones read what was written.
  async whileUnread<T>(
    manager: EntityManager,
    table: string,
    write: (manager: EntityManager) => Promise<T>,
  ): Promise<T> {
    try {
      return await manager.transaction(async (inner) => {
        await execute(inner, `SET LOCAL lock_timeout = ${READERS_TIMEOUT}`);
        await execute(inner, `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
        return write(inner);
      });
    } catch (error) {
      if ((error as { code?: string }).code !== LOCK_NOT_AVAILABLE) throw error;
      return write(manager);
    }
  }

  // The statement has no name: a prepared statement fails for ever after a column of its table changes its type.
  rowsByKey(manager: EntityManager, { column, sql }: RowsByKey, keys: readonly unknown[]): Promise<object[]> {
    return rowsAsGiven(manager, sql(`${column} = ANY($1)`), [keys]);
  }

  async ownersOf(manager: EntityManager, keys: readonly string[]): Promise<Map<string, Owner>> {
    // This form forces one index lookup for each key, for any statistics of the table.
    const sql = `SELECT e.* FROM unnest($1::text[]) AS k(key) CROSS JOIN LATERAL (
      SELECT event_key, ${OWNER_COLUMNS} FROM ${this.tables.event} WHERE event_key = k.key OFFSET 0) e`;
    return ownersFrom(await this.query(manager, 'spark-owners', sql, [arrayOf(keys)]));
  }

  async keysInRanges(manager: EntityManager, ranges: readonly KeyRange[]): Promise<KeysInRange[]> {
    const { length } = ranges;
    const sql = keysInRangesSql(this.tables.event, length, 'string_agg', 'IS NOT DISTINCT FROM', (n) => `$${n}`);
    const name = length <= FEW ? `spark-ranges-${length}` : undefined;
    const [row] = await this.query<Record<number, string>>(manager, name, sql, givenOf(ranges));
    return keysOfRow(ranges, row!);
  }

  async enter(manager: EntityManager, request: EnterRequest): Promise<Entered> {
    const { entries, likelyNew } = request;
    const { name, sql, given } = this.entering.of(request);
    const entered = enteredFrom(await this.query<EnteredRow>(manager, name, sql, given));
    if (!likelyNew || entered.fresh.size === entries.length) return entered;
    const known = entries.filter(({ key }) => !entered.fresh.has(key));
    const owners = await this.ownersOf(
      manager,
      known.map(({ key }) => key),
    );
    return { ...entered, others: othersOf(known, owners) };
  }

  queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]> {
    return this.claiming.queuesOf(manager, handlers);
  }

  handlersAwaited(manager: EntityManager): Promise<string[]> {
    return this.claiming.handlersAwaited(manager);
  }

  discardedSince(manager: EntityManager, request: DiscardedRequest): Promise<Map<string, number>> {
    return discardedById(manager, this.tables, request);
  }

  async waiting<Q extends OpenQueue>(_: EntityManager, { queues }: ClaimRequest<Q>): Promise<readonly Q[]> {
    return queues;
  }

  claim(manager: EntityManager, request: ClaimRequest): Promise<Claimed> {
    return this.claiming.claim(manager, request);
  }

  dispatch(manager: EntityManager, request: ClaimRequest, due: number): Promise<Dispatched> {
    return this.claiming.dispatch(manager, request, due);
  }

  takeOver(manager: EntityManager, request: TakeOver): Promise<ClaimedRow[]> {
    return this.claiming.takeOver(manager, request);
  }

  async complete(manager: EntityManager, { worker, attempt, done, now, history }: Completion): Promise<Set<string>> {
    const { delivery, attempt: attempts } = this.tables;
    const ids = done.map(({ id }) => id);
    // The planner cannot estimate how many deliveries are running. This form leaves it only the primary key.
    const ours = `d.id = ANY($1::bigint[]) AND d.attempt = $2 AND COALESCE(d.state, '') = 'running' AND d.claimed_by = $3 RETURNING d.id`;
    const given = [arrayOf(ids), attempt, worker];
    const durations = () => JSON.stringify(Object.fromEntries(done.map(({ id, durationMs }) => [id, durationMs])));
    const rows = history
      ? await this.query<{ id: string }>(
          manager,
          this.names.complete(),
          `UPDATE ${delivery} d SET ${SET.completed('$4', 'CAST($5::jsonb ->> CAST(d.id AS text) AS int)')} WHERE ${ours}`,
          [...given, now, durations()],
        )
      : await this.query<{ id: string }>(
          manager,
          this.names.remove(),
          `WITH gone AS (DELETE FROM ${delivery} d WHERE ${ours}, d.last_error IS NOT NULL AS failed),
           attempts AS (DELETE FROM ${attempts} WHERE delivery_id = ANY(ARRAY(SELECT id FROM gone WHERE failed)))
           SELECT id FROM gone`,
          given,
        );
    const completed = new Set(rows.map(({ id }) => id));
    return completed.size === done.length || !history ? completed : completedBy(manager, this.tables, worker, ids);
  }

  /** Runs a statement that is planned once for each connection, by its name. */
  private query<R>(manager: EntityManager, name: string | undefined, sql: string, given: unknown[]): Promise<R[]> {
    return prepared<R>(manager, this.prepare ? name : undefined, sql, given);
  }
}

/**
 * Names for a statement. The name changes each time the statement has run four times as often, so that it is planned anew: a connection
 * keeps its plans, and the best plan for a small table reads all rows of a large one.
 */
function replanned(name: string): () => string {
  let runs = 0;
  return () => `${name}-${Math.floor(Math.log2(++runs) / 2)}`;
}
