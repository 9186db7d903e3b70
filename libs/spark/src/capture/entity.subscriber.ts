import type {
  BeforeQueryEvent,
  EntityManager,
  EntityMetadata,
  EntitySubscriberInterface,
  InsertEvent,
  ObjectLiteral,
  QueryRunner,
  RecoverEvent,
  RemoveEvent,
  SoftRemoveEvent,
  TransactionCommitEvent,
  TransactionRollbackEvent,
  TransactionStartEvent,
  UpdateEvent,
} from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import { Capture } from '../record/capture.js';
import { NOTHING_RECORDED, type RecordResult, type Recorder } from '../record/recorder.js';
import type { LiveRules } from './live-rules.js';
import { Frames, type TransactionFrames } from './transaction-frames.js';
import { linesOf } from '../error/text-of.js';

/** Captures what the application saves in each transaction, and records it just before the outermost COMMIT. */
export class EntitySubscriber implements EntitySubscriberInterface<ObjectLiteral> {
  private readonly logger = new SparkLog();
  private readonly frames = new Frames();
  /** Saves with `{ transaction: false }`: they are committed before the subscriber gets them. */
  private readonly outside = new WeakMap<QueryRunner, { capture: Capture; recording: Promise<void> }>();

  constructor(
    private readonly rules: LiveRules,
    private readonly recorder: Recorder,
    private readonly onRecorded: (recorded: RecordResult) => void,
  ) {}

  /** The capture of the runner's open transaction or savepoint; undefined outside of a transaction. */
  captureOf(runner: QueryRunner): Capture | undefined {
    return runner.isTransactionActive ? this.frames.of(runner)?.top : undefined;
  }

  /** Captures rows that were written, by their keys. Spark reads their state later. */
  wrote(
    runner: QueryRunner,
    metadata: EntityMetadata,
    ids: readonly string[],
    isNew = false,
  ): Promise<void> | undefined {
    return this.capture(runner, (capture) => ids.forEach((id) => this.rules.written(capture, metadata, id, isNew)));
  }

  afterInsert(event: InsertEvent<ObjectLiteral>): Promise<void> | undefined {
    // An event without an id is a builder's insert, which CriteriaWrites captures.
    if (event.entityId === undefined) return undefined;
    return this.captureEntity(event, event.entityId, true);
  }

  afterUpdate(event: UpdateEvent<ObjectLiteral>): Promise<void> | undefined {
    if (!event.databaseEntity) return undefined;
    return this.captureEntity(event, event.metadata.getEntityIdMixedMap(event.databaseEntity));
  }

  afterSoftRemove(event: SoftRemoveEvent<ObjectLiteral>): Promise<void> | undefined {
    return event.entityId === undefined ? undefined : this.captureEntity(event, event.entityId);
  }

  afterRecover(event: RecoverEvent<ObjectLiteral>): Promise<void> | undefined {
    return event.entityId === undefined ? undefined : this.captureEntity(event, event.entityId);
  }

  beforeUpdate(event: UpdateEvent<ObjectLiteral>): Promise<void> | undefined {
    if (!event.databaseEntity || !this.rules.moves(event)) return undefined;
    return this.captureOld(event, event.metadata.getEntityIdMixedMap(event.databaseEntity));
  }

  beforeRemove(event: RemoveEvent<ObjectLiteral>): Promise<void> | undefined {
    return this.captureOld(event, event.entityId);
  }

  afterTransactionStart({ queryRunner }: TransactionStartEvent): void {
    this.frames.begin(queryRunner);
  }

  // This runs after the hooks of all subscribers, which may still save. In beforeTransactionCommit, Spark would miss later hooks.
  beforeQuery({ query, queryRunner, manager }: BeforeQueryEvent): Promise<unknown> | undefined {
    if (query !== 'COMMIT') return undefined;
    const transaction = this.frames.of(queryRunner);
    if (!transaction?.outermost || transaction.top.isEmpty) return undefined;
    // A COMMIT is sent again when the database was busy. It is recorded once.
    transaction.recording ??= this.record(transaction, manager);
    return transaction.recording;
  }

  afterTransactionCommit({ queryRunner }: TransactionCommitEvent): void {
    const transaction = this.frames.of(queryRunner);
    if (!transaction) return;
    if (!transaction.outermost) return transaction.release();
    this.frames.end(queryRunner);
    const { recorded = NOTHING_RECORDED, top } = transaction;
    this.onRecorded({ ...recorded, rechecks: recorded.rechecks || top.added.size > 0 });
  }

  // Another subscriber may have thrown while this one was still recording.
  async beforeTransactionRollback({ queryRunner }: TransactionRollbackEvent): Promise<void> {
    await this.frames.of(queryRunner)?.recording?.catch(() => undefined);
  }

  afterTransactionRollback({ queryRunner }: TransactionRollbackEvent): void {
    const transaction = this.frames.of(queryRunner);
    if (transaction && !transaction.outermost) transaction.drop();
    else this.frames.end(queryRunner);
  }

  private async record(transaction: TransactionFrames, manager: EntityManager): Promise<void> {
    transaction.recorded = await this.recorder.record(manager, transaction.top);
  }

  private captureEntity(
    { metadata, queryRunner }: { metadata: EntityMetadata; queryRunner: QueryRunner },
    entityId: unknown,
    isNew = false,
  ): Promise<void> | undefined {
    if (!this.rules.concerns(metadata)) return undefined;
    return this.capture(queryRunner, (capture) => this.rules.saved(capture, metadata, entityId, isNew));
  }

  private captureOld(
    event: UpdateEvent<ObjectLiteral> | RemoveEvent<ObjectLiteral>,
    entityId: unknown,
  ): Promise<void> | undefined {
    if (entityId === undefined || !this.rules.concerns(event.metadata)) return undefined;
    const { queryRunner, manager, metadata } = event;
    let keys: Promise<void> | undefined;
    const captured = this.capture(queryRunner, (capture) => {
      keys = this.rules.touchOld(manager, capture, metadata, entityId);
    });
    return keys && captured ? Promise.all([keys, captured]).then(() => undefined) : (keys ?? captured);
  }

  private capture(runner: QueryRunner, into: (capture: Capture) => void): Promise<void> | undefined {
    const capture = this.captureOf(runner);
    if (capture) {
      into(capture);
      return undefined;
    }
    const open = this.outside.get(runner);
    if (open) {
      into(open.capture);
      return open.recording;
    }
    const fresh = new Capture();
    into(fresh);
    const recording = Promise.resolve().then(() => this.recordOutside(runner, fresh));
    this.outside.set(runner, { capture: fresh, recording });
    return recording;
  }

  private async recordOutside(runner: QueryRunner, capture: Capture): Promise<void> {
    this.outside.delete(runner);
    try {
      await runner.startTransaction();
      const recorded = await this.recorder.record(runner.manager, capture, true);
      await runner.commitTransaction();
      this.onRecorded(recorded);
    } catch (error) {
      await runner.rollbackTransaction().catch(() => undefined);
      const where = 'Spark could not record a save outside of a transaction. The next sweep finds its events.';
      this.logger.error(`${where} ${linesOf(error)}`, { error });
    }
  }
}
