import {
  type DataSource,
  DeleteQueryBuilder,
  type EntityMetadata,
  InsertQueryBuilder,
  type ObjectLiteral,
  type QueryRunner,
  UpdateQueryBuilder,
} from 'typeorm';
import { SoftDeleteQueryBuilder } from 'typeorm/query-builder/SoftDeleteQueryBuilder.js';
import type { Rechecks } from '../store/rechecks.js';
import type { SparkClock } from '../common/clock.js';
import type { Dialect } from '../database/dialect.js';
import { columnsSql, keySql } from '../entity/key-sql.js';
import { rootOf, tableOf } from '../entity/entity-table.js';
import { sameKey } from '../entity/subject-ref.js';
import { touchQuery, type TouchRule } from '../source/touches.js';
import type { Capture } from '../record/capture.js';
import type { EntitySubscriber } from './entity.subscriber.js';
import { insertedKeys, overwrittenKeys } from './inserted-keys.js';
import type { LiveRules } from './live-rules.js';
import { movedKeys } from './moved-keys.js';
import { returningKeys } from './returning-keys.js';
import { returningRechecks } from './returning-rechecks.js';

/** The parts of TypeORM's builders that Spark uses, private ones included. */
interface Builder {
  readonly dataSource: DataSource;
  readonly expressionMap: InsertQueryBuilder<ObjectLiteral>['expressionMap'];
  queryRunner?: QueryRunner;
  execute(): Promise<unknown>;
  getParameters(): ObjectLiteral;
  getTableName(path: string): string;
  getMainTableName(): string;
  createWhereExpression(): string;
  createReturningExpression(kind: 'insert' | 'update'): string;
  replacePropertyNamesForTheWholeQuery(sql: string): string;
}

const capturers = new WeakMap<DataSource, CriteriaWrites>();
let patched = false;

/**
 * Captures writes by criteria (`update`, `softDelete`, `increment`, `insert`, `upsert`, `delete`, builders). TypeORM's events of these
 * writes have no ids. So Spark adds rechecks for the rows that they change, by one statement in the same transaction.
 */
export class CriteriaWrites {
  constructor(
    private readonly dialect: Dialect,
    private readonly rules: LiveRules,
    private readonly rechecks: Rechecks,
    private readonly subscriber: EntitySubscriber,
    private readonly clock: SparkClock,
  ) {}

  /** Begins to capture the writes of the DataSource's builders. */
  attach(dataSource: DataSource): void {
    capturers.set(dataSource, this);
    patchBuilders();
  }

  execute(builder: Builder, run: () => Promise<unknown>): Promise<unknown> {
    const { expressionMap } = builder;
    const metadata = expressionMap.mainAlias?.hasMetadata ? expressionMap.mainAlias.metadata : undefined;
    if (!metadata || !this.rules.concerns(metadata) || isSaveOfItsOwn(builder)) return run();
    return inTransaction(builder, async (runner) => {
      if (expressionMap.queryType === 'insert') return this.insert(builder, metadata, runner, run);
      await this.recheckTouched(builder, metadata, runner);
      if (expressionMap.queryType === 'delete' || !this.rules.derives(metadata)) return run();
      return this.update(builder, metadata, runner, run);
    });
  }

  private async insert(builder: Builder, metadata: EntityMetadata, runner: QueryRunner, run: () => Promise<unknown>) {
    if (builder.expressionMap.insertFromSelect) return this.insertFromSelect(builder, metadata, runner, run);
    // Spark needs the ids of the inserted rows. { reload: false } would leave them out.
    builder.expressionMap.updateEntity = true;
    const capture = this.subscriber.captureOf(runner);
    if (capture && builder.expressionMap.onUpdate && this.rules.touches(metadata).length > 0) {
      const keys = await overwrittenKeys(runner, metadata, builder.expressionMap);
      await this.rules.touchOverwritten(runner.manager, capture, metadata, keys);
    }
    const ids = await insertedKeys(runner, metadata, builder.expressionMap, run);
    const { onIgnore, onUpdate } = builder.expressionMap;
    await this.subscriber.wrote(runner, metadata, ids.keys, !onIgnore && !onUpdate);
    return ids.result;
  }

  /**
   * Inserts the rows of a SELECT. Only the statement itself can return their keys. Where the database cannot do that, the next sweep
   * finds the rows.
   */
  private async insertFromSelect(
    builder: Builder,
    metadata: EntityMetadata,
    runner: QueryRunner,
    run: () => Promise<unknown>,
  ) {
    if (!this.dialect.returnsFromInsert(builder.dataSource)) return run();
    const hasReturning = () => builder.createReturningExpression('insert') !== '';
    const keys: string[] = [];
    const inserted = (some: string[]) => void keys.push(...some);
    const result = await withRunner(builder, returningKeys(runner, { metadata, hasReturning, inserted }), run);
    await this.subscriber.wrote(runner, metadata, keys);
    return result;
  }

  /** Updates rows and adds rechecks for them: by one statement, or by an INSERT before the update, which locks the rows. */
  private async update(builder: Builder, metadata: EntityMetadata, runner: QueryRunner, run: () => Promise<unknown>) {
    const { dataSource, expressionMap } = builder;
    const entity = tableOf(rootOf(metadata));
    const key = keySql(dataSource, columnsSql(dataSource, metadata.primaryColumns));
    const now = this.clock.now();
    this.subscriber.captureOf(runner)?.addedRechecks(rootOf(metadata), now);
    if (!this.dialect.returnsFromUpdate || expressionMap.commonTableExpressions.length > 0) {
      // The update may change the primary key. The rechecks then need the new key.
      const isUpdate = expressionMap.queryType === 'update';
      const set = isUpdate ? (expressionMap.valuesSet as ObjectLiteral) : {};
      const moved = movedKeys(dataSource, metadata.primaryColumns, set);
      const insert = this.rechecks.insertSelect(':spark_entity', moved ? keySql(dataSource, moved.sql) : key, now);
      const parameters = { ...moved?.parameters, spark_entity: entity };
      await this.run(builder, runner, `${insert}${matching(builder)} ${this.dialect.forUpdate}`, parameters);
      return run();
    }
    const insert = (parameter: string) => this.rechecks.insertSelect(parameter, 'spark_key', now);
    const hasReturning = () => builder.createReturningExpression('update') !== '';
    return withRunner(builder, returningRechecks(runner, { key, entity, insert, hasReturning }), run);
  }

  /** Adds rechecks for the entities that the matching rows touch before the write. */
  private async recheckTouched(builder: Builder, metadata: EntityMetadata, runner: QueryRunner): Promise<void> {
    const { dataSource } = builder;
    const capture = this.subscriber.captureOf(runner);
    const keys = columnsSql(dataSource, metadata.primaryColumns).join(', ');
    for (const rule of this.rules.touches(metadata)) {
      const columns = columnsSql(dataSource, rule.changed.primaryColumns, 'changed');
      const within = `(${columns.join(', ')}) IN (SELECT ${keys}${matching(builder)})`;
      const touched = touchQuery(runner.manager, rule).andWhere(within);
      if (rule.through) {
        await this.touchThrough(builder, rule.through, runner, touched.getQuery(), touched.getParameters());
        continue;
      }
      const now = this.clock.now();
      const insert = this.rechecks.insertSelect(':spark_entity', 'spark_key', now);
      const parameters = { ...touched.getParameters(), spark_entity: tableOf(rule.root) };
      await this.run(builder, runner, `${insert} FROM (${touched.getQuery()}) touched`, parameters);
      if (!capture) continue;
      capture.addedRechecks(rule.root, now);
      await this.recheckMoved(builder, rule, runner, capture, within);
    }
  }

  /** Adds rechecks for the entities that the matching rows touch after the write. */
  private async recheckMoved(builder: Builder, rule: TouchRule, runner: QueryRunner, capture: Capture, within: string) {
    const { dataSource, expressionMap } = builder;
    if (expressionMap.queryType !== 'update') return;
    const moved = movedKeys(dataSource, rule.direct ?? [], expressionMap.valuesSet as ObjectLiteral, 'changed');
    if (!moved) return;
    if (moved.key !== undefined) return capture.recheck({ root: rule.root, id: moved.key });
    const query = touchQuery(runner.manager, rule, moved.sql).andWhere(within);
    const now = this.clock.now();
    capture.addedRechecks(rule.root, now);
    const insert = this.rechecks.insertSelect(':spark_entity', 'spark_key', now);
    const parameters = { ...query.getParameters(), ...moved.parameters, spark_entity: tableOf(rule.root) };
    await this.run(builder, runner, `${insert} FROM (${query.getQuery()}) touched`, parameters);
  }

  private async touchThrough(builder: Builder, rule: TouchRule, runner: QueryRunner, sql: string, parameters: object) {
    const rows = (await this.run(builder, runner, sql, parameters)) as { spark_key: string }[];
    for (const { spark_key: key } of rows) this.subscriber.captureOf(runner)?.touch(rule, sameKey(rule.changed, key));
  }

  private run(builder: Builder, runner: QueryRunner, sql: string, parameters: object): Promise<unknown> {
    const named = builder.replacePropertyNamesForTheWholeQuery(sql);
    const all = { ...builder.getParameters(), ...parameters };
    return runner.query(...(builder.dataSource.driver.escapeQueryWithParameters(named, all) as [string, unknown[]]));
  }
}

/** `FROM … WHERE` for the rows that match the criteria. */
function matching(builder: Builder): string {
  return ` FROM ${builder.getTableName(builder.getMainTableName())}${builder.createWhereExpression()}`;
}

// The subscriber captures the entities of `save`. It does not get rows that `save` binds or unbinds by their key alone, nor inserted
// rows whose ids { reload: false } leaves out.
function isSaveOfItsOwn({ expressionMap }: Builder): boolean {
  if (expressionMap.callListeners) return false;
  if (expressionMap.queryType === 'insert') return expressionMap.updateEntity;
  return expressionMap.queryType !== 'update' || expressionMap.whereEntities.length > 0;
}

/** Runs the write in the open transaction, or in one of its own, so that the write and its rechecks commit together. */
async function inTransaction(builder: Builder, work: (runner: QueryRunner) => Promise<unknown>): Promise<unknown> {
  const given = builder.queryRunner;
  if (given?.isTransactionActive) return work(given);
  const manager = given?.manager ?? builder.dataSource.manager;
  try {
    return await manager.transaction(async ({ queryRunner }) => {
      builder.queryRunner = queryRunner;
      return work(queryRunner!);
    });
  } finally {
    builder.queryRunner = given;
  }
}

/** Runs the write with another query runner. */
async function withRunner(builder: Builder, runner: QueryRunner, run: () => Promise<unknown>): Promise<unknown> {
  const given = builder.queryRunner;
  builder.queryRunner = runner;
  try {
    return await run();
  } finally {
    builder.queryRunner = given;
  }
}

// TypeORM has a registry of builder classes, but every new DataSource resets it to the built-in classes. So the prototypes are patched.
function patchBuilders(): void {
  if (patched) return;
  patched = true;
  for (const { prototype } of [InsertQueryBuilder, UpdateQueryBuilder, SoftDeleteQueryBuilder, DeleteQueryBuilder]) {
    const builders = prototype as unknown as Builder;
    const { execute } = builders;
    builders.execute = function (this: Builder): Promise<unknown> {
      const capturer = capturers.get(this.dataSource);
      const run = () => execute.call(this);
      return capturer ? capturer.execute(this, run) : run();
    };
  }
}
