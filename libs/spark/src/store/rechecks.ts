import type { EntityManager, EntityMetadata, ObjectLiteral } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { chunks, execute, select, values } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { rowList } from '../database/traits.js';
import { chainLink } from '../event/chain.js';
import type { ChainLink } from '../event/work-context.js';
import { namesOf, tableOf } from '../entity/entity-table.js';
import type { SubjectRef } from '../entity/subject-ref.js';

/** A recheck of an entity at an instant. Rows of rechecks are only inserted and removed, so that no transaction waits for another. */
export interface Recheck extends ChainLink {
  readonly ref: SubjectRef;
  /** In epoch milliseconds. */
  readonly due: number;
  /** How often it has failed. */
  readonly attempt: number;
}

/** A due recheck that this process has claimed. */
export interface DueRecheck {
  readonly id: string;
  readonly entity: string;
  readonly entity_id: string;
  readonly due_at: string;
  readonly attempt: number;
  readonly depth: number;
  readonly caused_by: string | number | null;
}

/** The due rechecks of an entity. */
export interface DueOfEntity {
  readonly entity: string;
  readonly rechecks: number;
  /** Since when the first of them is due, in epoch milliseconds. */
  readonly since: number;
}

/** A request to claim rechecks. */
export interface RecheckClaim {
  /** The entities that this process can recheck, one for each table. At least one. */
  readonly roots: readonly EntityMetadata[];
  /** Claims rechecks that are due until then, in epoch milliseconds. */
  readonly now: number;
  /** Skips rechecks that are due until then, in epoch milliseconds. */
  readonly after: number | undefined;
  readonly limit: number;
  /** The unique name of the claim. */
  readonly by: string;
  /** How long the claim lasts, in milliseconds. */
  readonly ttl: number;
}

// A recheck that is due later than this cannot be consumed while this transaction is open, so inserting it again may be skipped.
const AHEAD = 60 * 60_000;
// How far ahead the clock of a process that adds rechecks may be.
const SKEW = 60_000;
// A recheck that failed waits for at most an hour.
const LATEST_RETRY = 60 * 60_000 + SKEW;
const ROWS = 1_000;

/** The queue of all rechecks. */
export class Rechecks {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

  /**
   * Adds rechecks. This is the last statement before COMMIT, so that the transaction locks nothing after them.
   *
   * @param changesNothing whether the transaction changes no entity. Then a recheck that waits for the same instant already is enough
   */
  async add(manager: EntityManager, rechecks: readonly Recheck[], now: number, changesNothing = false): Promise<void> {
    for (const part of chunks(await this.absent(manager, rechecks, now, changesNothing), ROWS)) {
      const rows = values(
        part.map(({ ref, due, attempt, depth, cause }) => [
          tableOf(ref.root),
          ref.id,
          Math.ceil(due),
          attempt,
          depth,
          cause,
        ]),
      );
      await execute(manager, `INSERT INTO ${this.tables.recheck} (${COLUMNS}) VALUES ${rows.sql}`, rows.parameters);
    }
  }

  /** The start of a statement that adds a recheck for each key that a SELECT returns. */
  insertSelect(entity: string, key: string, now: number): string {
    const { depth, cause } = chainLink();
    // Without a cause its column is left out: a NULL in a list of columns has no type, which PostgreSQL would take for text.
    const [columns, caused] = cause === null ? [PLAIN_COLUMNS, ''] : [COLUMNS, `, ${BigInt(cause)}`];
    return `INSERT INTO ${this.tables.recheck} (${columns}) SELECT ${entity}, ${key}, ${Math.trunc(now)}, 0, ${depth}${caused}`;
  }

  /** The entities whose rechecks {@link insertSelect} has added at some instants. */
  async addedAt(manager: EntityManager, root: EntityMetadata, instants: Iterable<number>): Promise<string[]> {
    const ids = new Set<string>();
    const sql = `SELECT DISTINCT entity_id FROM ${this.tables.recheck} WHERE entity = :entity AND due_at IN (:...due)`;
    for (const due of chunks([...instants].map(Math.trunc), ROWS)) {
      const rows = await select<{ entity_id: string }>(manager, sql, { entity: tableOf(root), due });
      for (const { entity_id: id } of rows) ids.add(id);
    }
    return [...ids];
  }

  /**
   * Claims due rechecks of the entities of this process for `ttl` milliseconds, by the database's clock. Other processes skip them until
   * they are removed or given back, or that time is over.
   */
  async claim(manager: EntityManager, { roots, now, after, limit, by, ttl }: RecheckClaim): Promise<DueRecheck[]> {
    const from = after === undefined ? '' : 'due_at > :after AND ';
    const where = `${from}due_at <= :now AND entity IN (:...entities)`;
    const due = await this.lockFree(manager, where, { entities: roots.flatMap(namesOf), now, after, limit });
    if (due.length > 0) await this.keep(manager, due, undefined, by, ttl);
    return due;
  }

  /** Locks rechecks that no process has claimed. */
  private async lockFree(manager: EntityManager, where: string, parameters: object): Promise<DueRecheck[]> {
    const free = `(taken_until IS NULL OR taken_until < ${this.dialect.clock})`;
    const find = (columns: string, which: string) =>
      `SELECT ${columns} FROM ${this.tables.recheck} WHERE ${which} AND ${free} ORDER BY ${this.byTime} LIMIT :limit`;
    if (!this.dialect.locksNext) return select(manager, `${find(`${COLUMNS}, id`, where)} ${this.lock}`, parameters);
    const found = await select<{ id: string }>(manager, find('id', where), parameters);
    if (found.length === 0) return [];
    const ids = found.map(({ id }) => id);
    return select(manager, `${find(`${COLUMNS}, id`, 'id IN (:...ids)')} ${this.lock}`, { ...parameters, ids });
  }

  /** Extends the claim of rechecks by `ttl` milliseconds from now, as far as they still belong to the claim `by`. */
  async extend(manager: EntityManager, rechecks: readonly DueRecheck[], by: string, ttl: number): Promise<void> {
    await this.keep(manager, rechecks, by, by, ttl);
  }

  private async keep(
    manager: EntityManager,
    rechecks: readonly DueRecheck[],
    from: string | undefined,
    by: string,
    ttl: number,
  ) {
    const { sql, parameters } = this.these(manager, rechecks);
    const still = from === undefined ? '' : ' AND taken_by = :from';
    const update = `UPDATE ${this.tables.recheck} SET taken_by = :by, taken_until = ${this.dialect.clock} + :ttl`;
    await execute(manager, `${update} WHERE ${sql}${still}`, { ...parameters, from, by, ttl });
  }

  /** The next instant after `now` at which rechecks are due, up to another one. */
  async nextDue(manager: EntityManager, now: number, upTo: number): Promise<number | undefined> {
    const next = `SELECT MIN(due_at) AS due FROM ${this.tables.recheck} WHERE due_at > :now AND due_at <= :upTo`;
    const [row] = await select<{ due: string | null }>(manager, next, { now, upTo });
    return row?.due ? Number(row.due) : undefined;
  }

  /** The entities among the `most` rechecks that have been due for longest: how many these are, and since when the first of each is due. */
  async longestDue(manager: EntityManager, now: number, most: number): Promise<DueOfEntity[]> {
    const longest = `SELECT entity, due_at FROM ${this.tables.recheck} WHERE due_at <= :now ORDER BY ${this.byTime} LIMIT ${most}`;
    const rows = await select<{ entity: string; n: string; since: string }>(
      manager,
      `SELECT entity, COUNT(*) AS n, MIN(due_at) AS since FROM (${longest}) r GROUP BY entity`,
      { now },
    );
    return rows.map(({ entity, n, since }) => ({ entity, rechecks: Number(n), since: Number(since) }));
  }

  /** Returns the entities that wait for a recheck that is due about now, or that is retried after its source failed. */
  async seen(manager: EntityManager, root: EntityMetadata, ids: readonly string[], now: number): Promise<Set<string>> {
    const seen = new Set<string>();
    for (const part of chunks(ids, ROWS)) {
      const rows = await select<{ entity_id: string }>(
        manager,
        `SELECT entity_id FROM ${this.tables.recheck}
         WHERE entity IN (:...names) AND entity_id IN (:...ids) AND due_at <= :latest AND (due_at <= :soon OR attempt > 0)`,
        { names: namesOf(root), ids: part, soon: now + SKEW, latest: now + LATEST_RETRY },
      );
      for (const { entity_id: id } of rows) seen.add(id);
    }
    return seen;
  }

  /** Removes claimed rechecks. Returns whether all of them still belonged to the claim `by`. */
  async remove(manager: EntityManager, rechecks: readonly DueRecheck[], by: string): Promise<boolean> {
    const { sql, parameters } = this.these(manager, rechecks);
    const remove = `DELETE FROM ${this.tables.recheck} WHERE ${sql} AND taken_by = :by`;
    return (await execute(manager, remove, { ...parameters, by })).affected === rechecks.length;
  }

  /** Removes rechecks of other entities than these that were due before an instant. Returns the entity of each. */
  async removeOthers(
    manager: EntityManager,
    roots: readonly EntityMetadata[],
    before: number,
    limit: number,
  ): Promise<string[]> {
    const rechecks = await select<DueRecheck>(
      manager,
      `SELECT ${COLUMNS}, id FROM ${this.tables.recheck} WHERE due_at < :before AND entity NOT IN (:...entities)
       ORDER BY ${this.byTime} LIMIT :limit ${this.lock}`,
      { entities: roots.flatMap(namesOf), before, limit },
    );
    if (rechecks.length === 0) return [];
    const { sql, parameters } = this.these(manager, rechecks);
    await execute(manager, `DELETE FROM ${this.tables.recheck} WHERE ${sql}`, parameters);
    return rechecks.map(({ entity }) => entity);
  }

  private get lock(): string {
    return this.dialect.skipsLocked ? 'FOR UPDATE SKIP LOCKED' : '';
  }

  /** The order in which the index has them. */
  private get byTime(): string {
    return this.dialect.rechecksByTime ? BY_TIME : 'due_at, id';
  }

  private these(manager: EntityManager, rechecks: readonly DueRecheck[]): { sql: string; parameters: ObjectLiteral } {
    if (!this.dialect.rechecksByTime)
      return { sql: 'id IN (:...ids)', parameters: { ids: rechecks.map(({ id }) => id) } };
    const rows = values(rechecks.map((recheck) => [recheck.due_at, recheck.entity, recheck.entity_id, recheck.id]));
    return { ...rows, sql: `(${BY_TIME}) IN (${rowList(manager.dataSource, rows.sql)})` };
  }

  /** Leaves out rechecks that are in the table already: every save of an entity yields the same future instants again. */
  private async absent(
    manager: EntityManager,
    rechecks: readonly Recheck[],
    now: number,
    changesNothing: boolean,
  ): Promise<Recheck[]> {
    const unique = new Map(
      rechecks.map((recheck) => [textOf(tableOf(recheck.ref.root), recheck.ref.id, Math.ceil(recheck.due)), recheck]),
    );
    // A recheck that is claimed before this transaction commits does not see its changes. So only rechecks that are due later than that
    // are left out, unless this transaction changes nothing.
    const horizon = changesNothing ? now : now + AHEAD;
    const ahead = [...unique.values()].filter(({ due }) => due > horizon);
    for (const part of chunks(ahead, ROWS)) {
      const { sql, parameters } = this.thoseLike(manager, part, horizon);
      const rows = await select<Pick<DueRecheck, 'entity' | 'entity_id' | 'due_at'>>(
        manager,
        `SELECT entity, entity_id, due_at FROM ${this.tables.recheck} WHERE ${sql} AND taken_by IS NULL`,
        parameters,
      );
      for (const row of rows) unique.delete(textOf(row.entity, row.entity_id, Number(row.due_at)));
    }
    return [...unique.values()];
  }

  /** The condition that finds rows of these rechecks, in the form that the index of the database serves. */
  private thoseLike(
    manager: EntityManager,
    rechecks: readonly Recheck[],
    horizon: number,
  ): { sql: string; parameters: ObjectLiteral } {
    if (this.dialect.rechecksByTime) {
      const rows = values(rechecks.map(({ ref, due }) => [Math.ceil(due), tableOf(ref.root), ref.id]));
      return { ...rows, sql: `(due_at, entity, entity_id) IN (${rowList(manager.dataSource, rows.sql)})` };
    }
    const names = [...new Set(rechecks.map(({ ref }) => tableOf(ref.root)))];
    const ids = [...new Set(rechecks.map(({ ref }) => ref.id))];
    const sql = 'entity IN (:...names) AND entity_id IN (:...ids) AND due_at > :horizon';
    return { sql, parameters: { names, ids, horizon } };
  }
}

const PLAIN_COLUMNS = 'entity, entity_id, due_at, attempt, depth';
const COLUMNS = `${PLAIN_COLUMNS}, caused_by`;
const BY_TIME = 'due_at, entity, entity_id, id';

const textOf = (entity: string, id: string, due: number): string => JSON.stringify([entity, id, due]);
