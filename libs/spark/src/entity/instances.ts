import type { EntityManager, ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import { RawSqlResultsToEntityTransformer } from 'typeorm/query-builder/transformer/RawSqlResultsToEntityTransformer.js';
import { yieldToEventLoop, isBlocking } from '../common/event-loop.js';
import { rowsAsGiven } from '../database/statement.js';
import { groupRows } from '../database/typeorm-internals.js';
import { copyRows } from './row-copies.js';

/**
 * The entities that a query returns, each as a list of instances that share nothing. The query runs once, and its rows are copied for
 * each instance. If a row cannot be copied, or TypeORM needs more than one statement, each list has one instance only.
 *
 * @param wantedOf how many instances of an entity are wanted
 */
export async function instancesOf(
  manager: EntityManager,
  qb: SelectQueryBuilder<ObjectLiteral>,
  wantedOf: (entity: ObjectLiteral) => number,
): Promise<ObjectLiteral[][]> {
  const { expressionMap } = qb;
  // Rows are copied, not entities: entities may have private fields.
  if (expressionMap.aliases.some(({ hasMetadata, metadata }) => hasMetadata && metadata.relationIds.length > 0))
    return (await qb.getMany()).map((entity) => [entity]);
  expressionMap.queryEntity = true;
  const [sql, parameters] = qb.getQueryAndParameters();
  const rows = await rowsAsGiven(manager, sql, parameters);
  const alias = expressionMap.mainAlias!;
  const transformer = new RawSqlResultsToEntityTransformer(
    expressionMap,
    qb.dataSource.driver,
    [],
    manager.queryRunner,
  );
  const all: ObjectLiteral[][] = [];
  for (const own of groupRows(transformer, rows, alias).values()) {
    // Transformers and hydration may change the values of a row, so each instance needs a copy from before.
    let copy = copyRows(own);
    const [first] = transformer.transform(own, alias) as ObjectLiteral[];
    if (!first) continue;
    const instances = [first];
    for (let left = wantedOf(first) - 1; left > 0 && copy; left--) {
      while (isBlocking()) await yieldToEventLoop();
      const next = left > 1 ? copyRows(copy) : undefined;
      instances.push(...(transformer.transform(copy, alias) as ObjectLiteral[]));
      copy = next;
    }
    all.push(instances);
  }
  return all;
}
