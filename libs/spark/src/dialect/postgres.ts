import type { EntityManager } from 'typeorm';
import type { ClaimedRow, ClaimRequest, ColumnTypes, Dialect, Entered, Entry } from './dialect.js';
import { enteredFrom, type EnteredRow } from './entered.js';
import { execute, select } from './statement.js';
import type { TableNames } from './table-names.js';

const ADVISORY_LOCK = 0x5350_4152;

/** PostgreSQL. */
export class PostgresDialect implements Dialect {
  readonly extraColumns = [];
  readonly partialIndexes = true;
  readonly skipsLocked = true;
  readonly returnsFromUpdate = true;
  readonly forUpdate = 'FOR UPDATE';
  readonly isolation = 'READ COMMITTED';
  readonly clock = 'CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)';

  constructor(private readonly tables: TableNames) {}

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

  async enter(manager: EntityManager, entries: readonly Entry[], now: number): Promise<Entered> {
    const opened = entries.flatMap(({ key, handlers }) => handlers.map((handler) => ({ key, ...handler })));
    const rows = await select<EnteredRow>(manager, this.enterSql, {
      keys: entries.map(({ key }) => key),
      groups: entries.map(({ group }) => group),
      entities: entries.map(({ entity }) => entity),
      entityIds: entries.map(({ entityId }) => entityId),
      sources: entries.map(({ source }) => source),
      contexts: entries.map(({ context }) => context),
      ats: entries.map(({ at }) => at),
      depths: entries.map(({ depth }) => depth),
      deliveryKeys: opened.map(({ key }) => key),
      handlers: opened.map(({ name }) => name),
      priorities: opened.map(({ priority }) => priority),
      now,
    });
    return enteredFrom(rows);
  }

  async claim(manager: EntityManager, { worker, handlers, limit, now, suspect }: ClaimRequest): Promise<ClaimedRow[]> {
    const { delivery } = this.tables;
    return select(
      manager,
      `WITH due AS MATERIALIZED (
         SELECT id FROM ${delivery} WHERE state = 'available' AND due_at <= :now AND suspect = :suspect AND handler = ANY(:handlers)
         ORDER BY priority, due_at, id LIMIT :limit FOR UPDATE SKIP LOCKED)
       UPDATE ${delivery} d SET state = 'running', attempt = d.attempt + 1, claimed_by = :worker, started_at = :now
       FROM due WHERE d.id = due.id RETURNING d.id, d.event_id, d.handler, d.attempt`,
      { worker, handlers, limit, now, suspect: Number(suspect) },
    );
  }

  private get enterSql(): string {
    const { event, delivery, handler } = this.tables;
    return `WITH given AS (
        SELECT * FROM unnest(:keys::text[], :groups::text[], :entities::text[], :entityIds::text[], :sources::text[],
          :contexts::text[], :ats::bigint[], :depths::int[])
          AS g(event_key, event_group, entity, entity_id, source, context, at, depth)),
      fresh AS (
        INSERT INTO ${event} (event_key, event_group, entity, entity_id, source, context, at, depth, recorded_at)
        SELECT g.*, :now::bigint FROM given g
        WHERE NOT EXISTS (SELECT 1 FROM ${event} e WHERE e.event_key = g.event_key)
        ORDER BY g.event_key COLLATE "C" ON CONFLICT (event_key) DO NOTHING RETURNING id, event_key),
      opened AS (
        INSERT INTO ${delivery} (event_id, handler, state, attempt, priority, suspect, due_at)
        SELECT f.id, d.handler, 'available', 0, d.priority, 0, :now::bigint
        FROM unnest(:deliveryKeys::text[], :handlers::text[], :priorities::int[]) AS d(event_key, handler, priority)
        JOIN fresh f ON f.event_key = d.event_key)
      SELECT id, event_key, NULL::text AS event_group, NULL::bigint AS revision FROM fresh
      UNION ALL SELECT NULL::bigint, e.event_key, e.event_group, NULL::bigint FROM given g
        JOIN ${event} e ON e.event_key = g.event_key WHERE e.event_group <> g.event_group
      UNION ALL SELECT NULL::bigint, NULL::text, NULL::text, SUM(revision) FROM ${handler}`;
  }
}
