import { Logger } from '@nestjs/common';
import { Subject as Stream } from 'rxjs';
import type { DataSource } from 'typeorm';
import { AbandonedRechecks } from '../store/abandoned-rechecks.js';
import { Rechecks } from '../store/rechecks.js';
import { BootContext } from '../common/boot-context.js';
import { type SparkClock, SystemClock } from '../common/clock.js';
import { Completions } from '../deliver/completions.js';
import { Contexts } from '../deliver/contexts.js';
import { Deliveries } from '../store/deliveries.js';
import { DeliveryAdmin } from '../store/delivery-admin.js';
import { HandlerPauses } from '../store/handler-pauses.js';
import { HeldDeliveries } from '../store/held-deliveries.js';
import { HandlerSlots } from '../deliver/handler-slots.js';
import { SureReads } from '../deliver/sure-reads.js';
import { WorkerLease } from '../store/worker-lease.js';
import type { Dialect } from '../database/dialect.js';
import { dialectOf } from '../database/dialects.js';
import { OwnConnection } from '../database/own-connection.js';
import { poolSize, SPARE, usualConcurrency } from '../database/pool-size.js';
import { checkPrivateParts } from '../database/private-parts.js';
import { listenToNewConnections } from '../database/driver-connections.js';
import { StatementDeadline } from '../database/statement-deadline.js';
import { serializeSqlite } from '../database/sqlite/sqlite-serializer.js';
import { select, withRunner } from '../database/statement.js';
import { type TableNames, tableNames } from '../database/table-names.js';
import { checkTables, migrateAll } from '../database/schema/schema.js';
import { Transactions } from '../database/transactions.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { ContextCodec } from '../event/context-codec.js';
import { chainDepth, inChainOf } from '../event/chain.js';
import type { SparkEvent } from '../event/spark-event.js';
import { HandlerRegistry } from '../handler/handler.registry.js';
import { RegisteredHandlers } from '../store/registered-handlers.js';
import { Counters } from '../common/counters.js';
import { Activation } from '../store/activation.js';
import { Ledger } from '../store/ledger.js';
import { Retention } from '../store/retention.js';
import { type RecordResult, Recorder } from '../record/recorder.js';
import { Settler } from '../deliver/settler.js';
import { StillWanted } from '../deliver/still-wanted.js';
import { Attempts } from '../deliver/attempt.js';
import { Claimer } from '../deliver/claimer.js';
import { Worker } from '../deliver/worker.js';
import { adoptSweeps } from '../source/former-names.js';
import { sourceNames, SourceRegistry } from '../source/source.registry.js';
import type { SparkSettings } from '../config/spark.settings.js';
import { findHidden } from '../entity/row-security.js';
import { DataSourceEntities } from '../entity/entity-lookup.js';
import { RecheckRunner } from '../recheck/recheck-runner.js';
import { WrittenRows } from '../entity/written-rows.js';
import { CriteriaWrites } from '../capture/criteria-writes.js';
import { EntitySubscriber } from '../capture/entity.subscriber.js';
import { LiveRules } from '../capture/live-rules.js';
import { MissedDetector } from '../sweep/missed-detector.js';
import { SourceSweeper } from '../sweep/source-sweeper.js';
import { SweepLease } from '../store/sweep-lease.js';
import { Sweep } from '../sweep/sweep.js';
import { Ticker } from './ticker.js';
import type { Notifier, Work } from '../notifier/notifier.js';
import { notifierOf, pausesOf } from '../notifier/notifiers.js';

const MAINTENANCE = { shortest: 60_000, longest: 60_000 };
// How long the worker waits for what it claims together, in milliseconds.
const TOGETHER = 5;

/** The parts of one SparkModule, put together along the path of the data. */
export class Spark {
  private readonly logger = new Logger('Spark');
  readonly dataSourceName: string;
  readonly context = new BootContext();
  readonly sources = new SourceRegistry();
  readonly handlers = new HandlerRegistry();
  readonly counters = new Counters();
  readonly events = new Stream<SparkEvent>();

  /** How many deliveries this process handles at once. */
  readonly concurrency: number;
  readonly tables: TableNames;
  readonly dialect: Dialect;
  readonly deadline: StatementDeadline;
  readonly transactions: Transactions;
  readonly registered: RegisteredHandlers;
  readonly handlerPauses: HandlerPauses;
  readonly entities: DataSourceEntities;
  readonly codec: ContextCodec;
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  readonly rules: LiveRules;
  readonly subscriber: EntitySubscriber;
  readonly criteria: CriteriaWrites;
  readonly recheckRunner: RecheckRunner;
  readonly held: HeldDeliveries;
  readonly sweep: Sweep;
  readonly lease: WorkerLease;
  readonly completions: Completions;
  readonly settler: Settler;
  readonly worker: Worker;
  readonly admin: DeliveryAdmin;
  readonly retention: Retention;
  readonly abandoned: AbandonedRechecks;
  readonly recheckTicker: Ticker;
  readonly workerTicker: Ticker;
  readonly maintenance: Ticker;
  readonly notifier: Notifier;

  constructor(
    readonly dataSource: DataSource,
    readonly settings: SparkSettings,
    readonly clock: SparkClock,
  ) {
    const onRecorded = (recorded: RecordResult) => this.onRecorded(recorded);
    const { lease, maxAttempts, pollInterval } = settings.worker;
    this.concurrency = settings.worker.concurrency ?? usualConcurrency(dataSource);
    this.dataSourceName = settings.dataSource ?? 'default';

    this.tables = tableNames(dataSource, settings.tablePrefix, settings.schema);
    this.dialect = dialectOf(dataSource, this.tables, settings.postgres.prepare);
    this.deadline = new StatementDeadline(dataSource, settings.statementTimeout);
    listenToNewConnections(dataSource);
    this.transactions = new Transactions(dataSource, this.dialect);

    this.entities = new DataSourceEntities(dataSource);
    this.codec = new ContextCodec(this.entities);
    this.registered = new RegisteredHandlers(this.tables, clock, settings.handlerExpiry, this.counters);
    this.handlerPauses = new HandlerPauses(this.transactions, this.dialect, this.tables, this.registered);
    this.ledger = new Ledger(this.dialect, this.tables, this.registered, this.counters, (text) =>
      this.entities.rootNamed(text),
    );
    const rechecks = new Rechecks(this.dialect, this.tables);
    const rows = new WrittenRows(this.dialect);
    this.recorder = new Recorder(this.sources, this.ledger, rechecks, rows, this.codec, clock, this.counters);

    this.rules = new LiveRules(dataSource, this.sources, this.dialect);
    this.subscriber = new EntitySubscriber(this.rules, this.recorder, onRecorded);
    this.criteria = new CriteriaWrites(this.dialect, this.rules, rechecks, this.subscriber, clock);
    this.recheckRunner = new RecheckRunner(
      dataSource,
      this.transactions,
      rechecks,
      this.sources,
      this.recorder,
      clock,
      lease.ttl,
      onRecorded,
      () => this.recheckTicker.trigger(),
    );
    this.held = new HeldDeliveries(
      this.transactions,
      this.tables,
      () => this.notify({ rechecks: false, deliveries: true }),
      (name) => {
        const source = this.sources.named(name);
        return source ? sourceNames(source) : [name];
      },
    );
    const activation = new Activation(dataSource, this.dialect, this.tables, this.held, settings.activation.limit);
    const sweepLease = new SweepLease(dataSource, this.transactions, this.dialect, this.tables, lease.ttl);
    const sweeper = new SourceSweeper(
      dataSource,
      this.transactions,
      this.recorder,
      sweepLease,
      activation,
      this.held,
      new MissedDetector(dataSource, rechecks, this.recorder),
      clock,
      onRecorded,
    );
    this.sweep = new Sweep(this.context, this.sources, sweepLease, activation, sweeper, clock);

    const deliveries = new Deliveries(this.dialect, this.tables, settings.history);
    const reads = new SureReads(dataSource, this.dialect);
    const contexts = new Contexts(this.codec, this.entities, this.sources, reads);
    const slots = new HandlerSlots(this.concurrency, poolSize(dataSource) - SPARE, () => this.handlers.all());
    const patience = Math.min(settings.statementTimeout, lease.ttl / 3);
    this.lease = new WorkerLease(
      this.transactions,
      new OwnConnection(dataSource, this.dialect, patience, settings.statementTimeout),
      this.dialect,
      this.tables,
      lease,
      () => this.worker.abandon(),
      (limit) => this.worker.ended(limit),
      (count) => this.rescued(count),
    );
    this.completions = new Completions(this.transactions, this.lease, deliveries, clock);
    const others = () => this.notifier.notify({ rechecks: false, deliveries: true });
    this.settler = new Settler(this.transactions, this.lease, deliveries, clock, this.counters, others);
    const claimer = new Claimer(
      dataSource,
      this.transactions,
      this.lease,
      deliveries,
      slots,
      this.settler.passed,
      clock,
    );
    const wanted = new StillWanted(reads, this.sources, clock);
    const attempts = new Attempts(this.transactions, deliveries, wanted, clock, this.handlers, maxAttempts);
    this.worker = new Worker(claimer, this.lease, this.completions, contexts, slots, attempts, this.settler, () =>
      this.workerTicker.trigger(),
    );
    this.admin = new DeliveryAdmin(this.tables);
    this.retention = new Retention(this.transactions, this.tables, settings.retention);
    this.abandoned = new AbandonedRechecks(
      this.transactions,
      rechecks,
      () => this.sources.liveRoots(),
      this.counters,
      settings.retention.rechecks,
    );

    const pauses = pausesOf(dataSource, pollInterval);
    this.recheckTicker = new Ticker(
      'recheck',
      this.context,
      pauses,
      () => this.recheckRunner.begin(),
      (most) => this.recheckRunner.untilDue(most),
    );
    this.workerTicker = new Ticker('worker', this.context, pauses, () => this.worker.fill(TOGETHER));
    this.maintenance = new Ticker('maintenance', this.context, MAINTENANCE, () => this.maintain());
    this.settler.reports$.subscribe(
      (report) => report.state === 'available' && void this.triggerForRetry(report.deliveryId),
    );
    this.notifier = notifierOf(dataSource, this.tables, settings.statementTimeout, (work) => this.trigger(work));
  }

  /** Makes the DataSource ready: transactions kept apart, tables there and whole, writes seen. Throws what checkTables throws, InvalidOptionsError, MissingPartError. */
  async attach(): Promise<void> {
    const { dataSource, settings, tables } = this;
    if (dataSource.options.type === 'better-sqlite3' && settings.schema !== undefined)
      throw new InvalidOptionsError('schema', settings.schema, 'left out on SQLite, which has no schemas');
    if (dataSource.options.type === 'better-sqlite3' && settings.sqlite.serialize)
      serializeSqlite(dataSource, settings.sqlite);
    await withRunner(dataSource.manager, async (runner) => {
      if (dataSource.options.synchronize) await migrateAll(runner.manager, this.dialect, tables);
      await checkTables(runner, tables, settings);
      checkPrivateParts(runner);
    });
    dataSource.subscribers.push(this.subscriber);
    this.criteria.attach(dataSource);
  }

  /** Registers the handlers that were found, and begins to see the writes that sources are about. */
  async register(): Promise<void> {
    await this.compareClocks();
    await withRunner(this.dataSource.manager, (runner) =>
      this.dialect.exclusively(runner.manager, async (alone) => {
        await this.registered.register(alone, this.handlers.all(), this.clock.now());
        await this.handlerPauses.followNames(alone);
        await adoptSweeps(alone, this.dialect, this.tables, this.sources.all());
      }),
    );
    this.rules.build();
    await this.warnOfHiddenRows();
  }

  private async warnOfHiddenRows(): Promise<void> {
    const entities = this.dataSource.entityMetadatas.filter(({ tableType }) => tableType === 'regular');
    const hidden = await findHidden(this.dataSource.manager, entities);
    if (hidden.length === 0) return;
    this.logger.warn(
      `PostgreSQL hides rows of ${hidden.map(({ name }) => name).join(', ')} from Spark by row-level security. What it hides, rechecks and ` +
        `sweeps miss, and no handler gets. Let Spark connect as a role with BYPASSRLS: a DataSource of its own, which reads ` +
        `the same tables.`,
    );
  }

  /** Works off what is due now, by rechecks and by deliveries. */
  drain(): Promise<void> {
    return this.context.run(() => this.drainAll());
  }

  private async drainAll(): Promise<void> {
    // What a poll or a pulse does meanwhile may lead to more, too.
    const done = () => this.recheckRunner.taken + this.worker.begun;
    for (let before = -1; before !== done();) {
      before = done();
      await this.recheckRunner.drain();
      await this.worker.drain();
    }
  }

  private async compareClocks(): Promise<void> {
    if (!(this.clock instanceof SystemClock)) return;
    const asked = Date.now();
    const [row] = await select<{ now: string }>(this.dataSource.manager, `SELECT ${this.dialect.clock} AS now`);
    const offset = this.clock.compare(Number(row!.now), asked, Date.now());
    if (offset !== undefined)
      this.logger.warn(`The database's clock is ${offset} ms ahead of this process's; Spark goes by the database's.`);
  }

  private async maintain(): Promise<number> {
    this.counters.flush();
    this.worker.warnOfLong(this.settings.worker.lease.ttl);
    await this.compareClocks();
    await withRunner(this.dataSource.manager, ({ manager }) => this.registered.seen(manager, this.clock.now()));
    await this.abandoned.prune(this.clock.now());
    const { deliveries } = await this.retention.prune(this.clock.now());
    return deliveries;
  }

  /** A failed delivery that is tried again before the next poll is tried in time. */
  private async triggerForRetry(id: string): Promise<void> {
    const due = `SELECT due_at FROM ${this.tables.delivery} WHERE id = :id`;
    const [row] = await select<{ due_at: string }>(this.dataSource.manager, due, { id }).catch(() => []);
    if (row) this.workerTicker.triggerIn(Number(row.due_at) - this.clock.now());
  }

  private rescued(deliveries: number): void {
    this.logger.warn(
      `${deliveries} deliveries of a process that died, or did not renew its lease in time, are available again, one at a time.`,
    );
    this.notify({ rechecks: false, deliveries: true });
  }

  /** Tells of what was recorded, after its commit, and wakes who works on. */
  onRecorded({ events, rechecks }: RecordResult): void {
    if (events.length > 0 && this.events.observed) this.emit(events, chainDepth());
    this.notify({ rechecks, deliveries: events.length > 0 });
  }

  /** What a subscriber changes is one event further down the chain. */
  private emit(events: readonly SparkEvent[], depth: number): void {
    this.context.runNow(() => inChainOf(depth, () => events.forEach((event) => this.events.next(event))));
  }

  /** There is work to do: for this process, and for others. */
  notify(work: Work): void {
    this.trigger(work);
    this.notifier.notify(work);
  }

  private trigger({ rechecks, deliveries }: Work): void {
    if (rechecks) this.recheckTicker.trigger();
    if (deliveries) this.workerTicker.trigger();
  }
}
