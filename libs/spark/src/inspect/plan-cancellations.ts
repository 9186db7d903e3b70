import type { EntityManager, EntityMetadata } from 'typeorm';
import { select } from '../database/statement.js';
import { CHAIN_START } from '../event/chain.js';
import { Derivation } from '../record/derivation.js';
import type { Source } from '../source/source.js';
import type { Condition } from '../store/conditions.js';
import type { Inspected } from './inspected.js';
import { conditionsOf } from './planned-conditions.js';
import { namesOf, rootOf } from '../entity/entity-table.js';
import { readSubjects, type Subject } from '../entity/subjects.js';
import type { PlannedCancellation, PlanRequest } from './planned.js';

interface RecheckRow {
  id: string;
  entity: string;
  entity_id: string;
  due_at: string;
}

const PAGE = 500;

/** Yields the future rechecks at which nothing becomes true any more. */
export async function* cancellations(
  spark: Inspected,
  request: PlanRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<PlannedCancellation> {
  const roots = spark.sources.liveRoots().filter((root) => request.entities.some((entity) => rootOf(entity) === root));
  if (roots.length === 0) return;
  for (let after = { due_at: String(request.now), id: '0' }, isEnd = false; !isEnd;) {
    signal?.throwIfAborted();
    const last = after;
    const rows = await spark.transactions.reading((manager) => rechecks(manager, spark, roots, request, last));
    const seen = new Set<string>();
    for (const { entity, entity_id: id, due_at: due } of await emptyOnes(spark, roots, rows)) {
      const text = JSON.stringify([entity, id, String(due)]);
      if (!seen.has(text)) yield { outcome: 'cancel', entity, id, at: new Date(Number(due)) };
      seen.add(text);
    }
    after = rows.at(-1) ?? after;
    isEnd = rows.length < PAGE;
  }
}

/** Rechecks after a change or a failure are left out, because they do not stand for a future `at`. */
function rechecks(
  manager: EntityManager,
  { tables }: Inspected,
  roots: readonly EntityMetadata[],
  { id, now }: PlanRequest,
  after: Pick<RecheckRow, 'due_at' | 'id'>,
) {
  return select<RecheckRow>(
    manager,
    `SELECT id, entity, entity_id, due_at FROM ${tables.recheck}
     WHERE due_at > :now AND due_at >= :last AND (due_at > :last OR id > :lastId) AND attempt = 0
     AND entity IN (:...entities) ${id === undefined ? '' : 'AND entity_id = :id'} ORDER BY due_at, id LIMIT ${PAGE}`,
    { last: after.due_at, lastId: after.id, now, id, entities: roots.flatMap(namesOf) },
  );
}

async function emptyOnes(spark: Inspected, roots: readonly EntityMetadata[], rows: RecheckRow[]) {
  const empty: RecheckRow[] = [];
  for (const root of roots) {
    const own = rows.filter(({ entity }) => namesOf(root).includes(entity));
    const ids = [...new Set(own.map((row) => row.entity_id))];
    if (ids.length === 0) continue;
    const standing = new Set<RecheckRow>();
    for (const source of spark.sources.liveOf(root)) {
      const conditions = await conditionsOf(spark, source, ids);
      const subjects = await byId(spark, source, ids);
      for (const row of own) {
        const subject = subjects?.get(row.entity_id);
        // If the entities cannot be read, it is unknown whether something becomes true.
        if (!subjects || (subject && (await stands(source, subject, conditions, Number(row.due_at)))))
          standing.add(row);
      }
    }
    empty.push(...own.filter((row) => !standing.has(row)).map((row) => ({ ...row, entity: root.name })));
  }
  return empty;
}

async function byId({ transactions }: Inspected, source: Source, ids: readonly string[]) {
  const subjects = await transactions.reading((manager) => readSubjects(manager, source, ids)).catch(() => undefined);
  return subjects && new Map(subjects.map((subject) => [subject.ref.id, subject]));
}

/** Whether something becomes true at the instant. If a source throws, that is unknown, and counts as true. */
async function stands(source: Source, subject: Subject, conditions: readonly Condition[], due: number) {
  const derivation = new Derivation(due, () => CHAIN_START);
  derivation.conditions.know(source, conditions);
  await derivation.run(source, [subject]);
  return derivation.failures.length > 0 || derivation.found.some(({ event }) => event.at?.getTime() === due);
}
