import type { EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { chunks, execute, select, values } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { namesOf, rootOf, tableOf } from '../entity/entity-table.js';
import type { SubjectRef } from '../entity/subject-ref.js';
import type { Source } from '../source/source.js';
import { sourceNames } from '../source/source.registry.js';

/** That a source yields an event with `trueFor`. The row is there as long as it does. */
export interface Condition {
  readonly id: string;
  readonly key: string;
  readonly entityId: string;
  /** Since when, in epoch milliseconds. Undefined until a recheck that has begun after the row was there finds the event again. */
  readonly since: number | undefined;
  /** Whether it held before Spark knew its source. */
  readonly isPast: boolean;
}

/** A condition that has no row yet. */
export interface NewCondition {
  readonly key: string;
  /** The names of the source; the first is its present one. */
  readonly sources: readonly string[];
  readonly ref: SubjectRef;
  readonly isPast?: boolean;
}

interface Row {
  readonly id: string;
  readonly event_key: string;
  readonly source: string;
  readonly entity: string;
  readonly entity_id: string;
  readonly since: string | null;
  readonly is_past: number | string;
}

const COLUMNS = 'event_key, source, entity, entity_id, since, is_past';
const ROWS = 1_000;

/** The conditions that last, and since when. Only Spark's own transactions write them, so no transaction of the application waits for one. */
export class Conditions {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    /** Whether this process has a source of this name. */
    private readonly isSource: (name: string) => boolean,
  ) {}

  /** The conditions of a source's entities. A source that yields nothing with `trueFor` has none, and no statement is sent. */
  async of(manager: EntityManager, source: Source, ids: readonly string[]): Promise<Condition[]> {
    const found: Condition[] = [];
    if (!source.options.trueFor) return found;
    const given = { entity: tableOf(rootOf(source.metadata)), sources: sourceNames(source) };
    for (const part of chunks(ids, ROWS)) {
      const rows = await select<Row>(
        manager,
        `SELECT id, ${COLUMNS} FROM ${this.tables.condition}
         WHERE entity = :entity AND entity_id IN (:...part) AND source IN (:...sources)`,
        { ...given, part },
      );
      found.push(...rows.map(conditionIn));
    }
    return found;
  }

  /** Conditions of a source, in the order of their ids. */
  async page(manager: EntityManager, source: Source, after: string, limit: number): Promise<Condition[]> {
    const rows = await select<Row>(
      manager,
      `SELECT id, ${COLUMNS} FROM ${this.tables.condition} WHERE id > :after AND source IN (:...sources)
       ORDER BY id LIMIT :limit`,
      { after, sources: sourceNames(source), limit },
    );
    return rows.map(conditionIn);
  }

  /**
   * Adds conditions, unless they are there already. They take the place of those of sources that this process does not have: it was
   * renamed, or its table was.
   *
   * @returns those whose key is one of another entity, or of another source
   */
  async add(manager: EntityManager, fresh: readonly NewCondition[], since: number | null): Promise<NewCondition[]> {
    const foreign: NewCondition[] = [];
    for (const part of chunks(fresh, ROWS)) {
      const keys = part.map(({ key }) => key);
      const sql = `SELECT id, ${COLUMNS} FROM ${this.tables.condition} WHERE event_key IN (:...keys)`;
      const rowsOf = await select<Row>(manager, sql, { keys });
      const left = rowsOf.filter(({ source }) => !this.isSource(source));
      await this.remove(manager, left.map(conditionIn));
      const known = new Map(rowsOf.filter((row) => !left.includes(row)).map((row) => [row.event_key, row]));
      foreign.push(...part.filter((one) => known.has(one.key) && !isOf(known.get(one.key)!, one)));
      const missing = part.filter(({ key }) => !known.has(key));
      if (missing.length === 0) continue;
      const rows = values(
        missing.map(({ key, sources, ref, isPast = false }) => [
          key,
          sources[0],
          tableOf(ref.root),
          ref.id,
          since,
          Number(isPast),
        ]),
      );
      const into = `INTO ${this.tables.condition} (${COLUMNS}) VALUES ${rows.sql}`;
      await execute(manager, this.dialect.insertOrIgnore(into), rows.parameters);
    }
    return foreign;
  }

  /** Sets since when conditions last that have none yet. Returns how many of them there still were. */
  async begin(manager: EntityManager, conditions: readonly Condition[], since: number): Promise<number> {
    const sql = `UPDATE ${this.tables.condition} SET since = :since WHERE id IN (:...ids) AND since IS NULL`;
    return this.each(manager, conditions, sql, { since });
  }

  async remove(manager: EntityManager, conditions: readonly Condition[]): Promise<void> {
    await this.each(manager, conditions, `DELETE FROM ${this.tables.condition} WHERE id IN (:...ids)`);
  }

  /** The ids of those conditions that are there as they were read. */
  async unchanged(manager: EntityManager, conditions: readonly Condition[]): Promise<Set<string>> {
    const ids = new Set<string>();
    for (const part of chunks(conditions, ROWS)) {
      const sql = `SELECT id, ${COLUMNS} FROM ${this.tables.condition} WHERE id IN (:...ids)`;
      const rows = await select<Row>(manager, sql, { ids: part.map(({ id }) => id) });
      const sinceOf = new Map(rows.map(conditionIn).map(({ id, since }) => [id, since]));
      for (const { id, since } of part) if (sinceOf.has(id) && sinceOf.get(id) === since) ids.add(id);
    }
    return ids;
  }

  /** Removes all conditions of sources that do not yield events with `trueFor`: nobody sees any more whether they hold. */
  async removeOf(manager: EntityManager, sources: readonly string[]): Promise<void> {
    for (const part of chunks(sources, ROWS)) {
      // By their ids: a DELETE by the source would lock all rows that it reads, on MariaDB and MySQL.
      const sql = `SELECT id, ${COLUMNS} FROM ${this.tables.condition} WHERE source IN (:...part) ORDER BY id`;
      await this.remove(manager, (await select<Row>(manager, sql, { part })).map(conditionIn));
    }
  }

  /** Removes all conditions of an entity. If they still hold, they begin anew. */
  async forget(manager: EntityManager, { root, id }: SubjectRef): Promise<void> {
    const sql = `DELETE FROM ${this.tables.condition} WHERE entity IN (:...names) AND entity_id = :id`;
    await execute(manager, sql, { names: namesOf(root), id });
  }

  private async each(manager: EntityManager, conditions: readonly Condition[], sql: string, parameters: object = {}) {
    let changed = 0;
    for (const part of chunks(conditions, ROWS)) {
      const ids = part.map(({ id }) => id);
      changed += (await execute(manager, sql, { ...parameters, ids })).affected ?? 0;
    }
    return changed;
  }
}

const conditionIn = ({ id, event_key: key, entity_id: entityId, since, is_past: past }: Row): Condition => ({
  id: String(id),
  key,
  entityId,
  since: since === null ? undefined : Number(since),
  isPast: Number(past) === 1,
});

const isOf = (row: Row, { sources, ref }: NewCondition): boolean =>
  sources.includes(row.source) && row.entity === tableOf(ref.root) && row.entity_id === ref.id;
