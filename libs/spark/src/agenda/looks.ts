import type { EntityManager, EntityMetadata, ObjectLiteral } from 'typeorm';
import type { Dialect } from '../dialect/dialect.js';
import { chunks, execute, select, values } from '../dialect/statement.js';
import type { TableNames } from '../dialect/table-names.js';
import { chainDepth } from '../event/chain.js';
import type { SubjectRef } from '../subject/subject-ref.js';

/** "Look again at this entity then." Rows are only inserted and removed, so that nobody waits for anybody. */
export interface Look {
  readonly ref: SubjectRef;
  /** Epoch ms. */
  readonly due: number;
  /** How often looking has failed. */
  readonly attempt: number;
  /** How many events led to the change that is to be looked at. */
  readonly depth: number;
}

/** A look that is due, taken by this process. */
export interface DueLook {
  readonly id: string;
  readonly entity: string;
  readonly entity_id: string;
  readonly due_at: string;
  readonly attempt: number;
  readonly depth: number;
}

// A look this far ahead cannot be being taken while the transaction that would repeat it is still under way.
const AHEAD = 60 * 60_000;
// How far ahead the clock of a process that adds looks may be.
const SKEW = 60_000;
// A look that failed waits for an hour at most.
const LATEST_RETRY = 60 * 60_000 + SKEW;
const ROWS = 1_000;

/** The agenda: one queue of looks, whatever the reason. */
export class Looks {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

  /** Adds looks. The last thing before COMMIT, so that nothing is locked after them. */
  async add(manager: EntityManager, looks: readonly Look[], now: number): Promise<void> {
    for (const part of chunks(await this.absent(manager, looks, now), ROWS)) {
      const rows = values(
        part.map(({ ref, due, attempt, depth }) => [ref.root.name, ref.id, Math.ceil(due), attempt, depth]),
      );
      await execute(manager, `INSERT INTO ${this.tables.agenda} (${COLUMNS}) VALUES ${rows.sql}`, rows.parameters);
    }
  }

  /** The start of a statement that adds a look for each key that a SELECT gives. */
  insertSelect(entity: string, key: string, now: number): string {
    return `INSERT INTO ${this.tables.agenda} (${COLUMNS}) SELECT ${entity}, ${key}, ${Math.trunc(now)}, 0, ${chainDepth()}`;
  }

  /** Takes due looks at entities that this process knows; where the database can, others pass over them until this transaction ends. */
  async take(manager: EntityManager, entities: readonly string[], now: number, limit: number): Promise<DueLook[]> {
    if (entities.length === 0) return [];
    const lock = this.dialect.skipsLocked ? 'FOR UPDATE SKIP LOCKED' : '';
    return select(
      manager,
      `SELECT ${COLUMNS}, id FROM ${this.tables.agenda} WHERE due_at <= :now AND entity IN (:...entities)
       ORDER BY ${this.dialect.agendaByTime ? BY_TIME : 'due_at, id'} LIMIT :limit ${lock}`,
      { entities, now, limit },
    );
  }

  /** Which of the entities have changed and wait to be looked at: now, or again after their source failed. */
  async seen(manager: EntityManager, root: EntityMetadata, ids: readonly string[], now: number): Promise<Set<string>> {
    const seen = new Set<string>();
    for (const part of chunks(ids, ROWS)) {
      const rows = await select<{ entity_id: string }>(
        manager,
        `SELECT entity_id FROM ${this.tables.agenda}
         WHERE entity = :entity AND entity_id IN (:...ids) AND due_at <= :latest AND (due_at <= :soon OR attempt > 0)`,
        { entity: root.name, ids: part, soon: now + SKEW, latest: now + LATEST_RETRY },
      );
      for (const { entity_id: id } of rows) seen.add(id);
    }
    return seen;
  }

  async remove(manager: EntityManager, looks: readonly DueLook[]): Promise<void> {
    const { agenda } = this.tables;
    if (this.dialect.agendaByTime) {
      const rows = values(looks.map((look) => [look.due_at, look.entity, look.entity_id, look.id]));
      const these = `(${BY_TIME}) IN (${this.dialect.rowList(rows.sql)})`;
      await execute(manager, `DELETE FROM ${agenda} WHERE ${these}`, rows.parameters);
    } else {
      await execute(manager, `DELETE FROM ${agenda} WHERE id IN (:...ids)`, { ids: looks.map(({ id }) => id) });
    }
  }

  /** Leaves out what is on the agenda already: every save of an entity gives the same future instants again. */
  private async absent(manager: EntityManager, looks: readonly Look[], now: number): Promise<Look[]> {
    const unique = new Map(looks.map((look) => [textOf(look.ref.root.name, look.ref.id, look.due), look]));
    const ahead = [...unique.values()].filter(({ due }) => due > now + AHEAD);
    for (const part of chunks(ahead, ROWS)) {
      const { sql, parameters } = this.thoseLike(part, now);
      const rows = await select<Pick<DueLook, 'entity' | 'entity_id' | 'due_at'>>(
        manager,
        `SELECT entity, entity_id, due_at FROM ${this.tables.agenda} WHERE ${sql}`,
        parameters,
      );
      for (const row of rows) unique.delete(textOf(row.entity, row.entity_id, Number(row.due_at)));
    }
    return [...unique.values()];
  }

  /** Which rows are asked for, to know whether looks are on the agenda: as its index finds them. */
  private thoseLike(looks: readonly Look[], now: number): { sql: string; parameters: ObjectLiteral } {
    if (this.dialect.agendaByTime) {
      const rows = values(looks.map(({ ref, due }) => [Math.ceil(due), ref.root.name, ref.id]));
      return { ...rows, sql: `(due_at, entity, entity_id) IN (${this.dialect.rowList(rows.sql)})` };
    }
    const names = [...new Set(looks.map(({ ref }) => ref.root.name))];
    const ids = [...new Set(looks.map(({ ref }) => ref.id))];
    const sql = 'entity IN (:...names) AND entity_id IN (:...ids) AND due_at > :horizon';
    return { sql, parameters: { names, ids, horizon: now + AHEAD } };
  }
}

const COLUMNS = 'entity, entity_id, due_at, attempt, depth';
const BY_TIME = 'due_at, entity, entity_id, id';

const textOf = (entity: string, id: string, due: number): string => JSON.stringify([entity, id, due]);
