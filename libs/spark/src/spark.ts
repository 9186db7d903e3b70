import { Subject as Stream } from 'rxjs';
import type { DataSource } from 'typeorm';
import { Looks } from './agenda/looks.js';
import type { SparkClock } from './clock.js';
import { Contexts } from './delivery/contexts.js';
import { Deliveries } from './delivery/deliveries.js';
import { type Dialect, dialectOf } from './dialect/dialect.js';
import { serializeSqlite } from './dialect/sqlite-serializer.js';
import { withRunner } from './dialect/statement.js';
import { type TableNames, tableNames } from './dialect/table-names.js';
import { createTables, missingTables } from './dialect/tables.js';
import { Transactions } from './dialect/transactions.js';
import { MissingTablesError } from './error/missing-tables.error.js';
import { ContextCodec } from './event/context-codec.js';
import type { SparkEvent } from './event/spark-event.js';
import { HandlerRegistry } from './handler/handler.registry.js';
import { RegisteredHandlers } from './handler/registered-handlers.js';
import { Ledger } from './ledger/ledger.js';
import { type Recorded, Recorder } from './pipeline/recorder.js';
import { Worker } from './pipeline/worker.js';
import { SourceRegistry } from './source/source.registry.js';
import type { SparkSettings } from './spark.settings.js';
import { DataSourceEntities } from './subject/entity-lookup.js';
import { Agenda } from './trigger/agenda.js';
import { CriteriaWrites } from './trigger/criteria-writes.js';
import { EntitySubscriber } from './trigger/entity.subscriber.js';
import { LiveRules } from './trigger/live-rules.js';
import { Sweep } from './trigger/sweep.js';
import { Ticker } from './trigger/ticker.js';

/** The parts of one SparkModule, put together along the path of the data. */
export class Spark {
  readonly dataSourceName: string;
  readonly sources = new SourceRegistry();
  readonly handlers = new HandlerRegistry();
  readonly events = new Stream<SparkEvent>();

  readonly tables: TableNames;
  readonly dialect: Dialect;
  readonly transactions: Transactions;
  readonly registered: RegisteredHandlers;
  readonly codec: ContextCodec;
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  readonly rules: LiveRules;
  readonly subscriber: EntitySubscriber;
  readonly criteria: CriteriaWrites;
  readonly agenda: Agenda;
  readonly sweep: Sweep;
  readonly worker: Worker;
  readonly agendaTicker: Ticker;
  readonly workerTicker: Ticker;

  constructor(
    readonly dataSource: DataSource,
    readonly settings: SparkSettings,
    readonly clock: SparkClock,
  ) {
    const announce = (recorded: Recorded) => this.announce(recorded);
    const { pollInterval } = settings.worker;
    this.dataSourceName = settings.dataSource ?? 'default';

    this.tables = tableNames(dataSource, settings.tablePrefix, settings.schema);
    this.dialect = dialectOf(dataSource, this.tables);
    this.transactions = new Transactions(dataSource, this.dialect);

    const entities = new DataSourceEntities(dataSource);
    this.codec = new ContextCodec(entities);
    this.registered = new RegisteredHandlers(this.tables);
    this.ledger = new Ledger(this.dialect, this.tables, this.registered);
    const looks = new Looks(this.dialect, this.tables);
    this.recorder = new Recorder(this.sources, this.ledger, looks, this.codec, clock);

    this.rules = new LiveRules(dataSource, this.sources);
    this.subscriber = new EntitySubscriber(this.rules, this.recorder, announce);
    this.criteria = new CriteriaWrites(this.dialect, this.rules, looks, this.subscriber, clock);
    this.agenda = new Agenda(
      dataSource,
      this.dialect,
      this.transactions,
      looks,
      this.sources,
      this.recorder,
      clock,
      announce,
    );
    this.sweep = new Sweep(dataSource, this.transactions, this.sources, this.recorder, clock, announce);

    const deliveries = new Deliveries(this.dialect, this.tables);
    const contexts = new Contexts(this.codec, entities, this.sources);
    this.worker = new Worker(
      dataSource,
      this.transactions,
      deliveries,
      contexts,
      this.handlers,
      clock,
      settings.worker,
    );

    this.agendaTicker = new Ticker('agenda', pollInterval, () => this.agenda.runDue());
    this.workerTicker = new Ticker('worker', pollInterval, () => this.worker.fill());
  }

  /** Makes the DataSource ready: transactions kept apart, tables there, writes seen. Throws MissingTablesError. */
  async attach(): Promise<void> {
    const { dataSource, settings, tables } = this;
    if (dataSource.options.type === 'better-sqlite3' && settings.sqlite.serialize)
      serializeSqlite(dataSource, settings.sqlite);
    await withRunner(dataSource.manager, async (runner) => {
      if (dataSource.options.synchronize) await createTables(runner.manager, this.dialect, tables);
      const missing = await missingTables(runner, tables);
      if (missing.length > 0) throw new MissingTablesError(missing, settings.tablePrefix, settings.schema);
    });
    dataSource.subscribers.push(this.subscriber);
    this.criteria.attach(dataSource);
  }

  /** Registers the handlers that were found, and begins to see the writes that sources are about. */
  async register(): Promise<void> {
    await withRunner(this.dataSource.manager, ({ manager }) =>
      this.dialect.exclusively(manager, () => this.registered.register(manager, this.handlers.all(), this.clock.now())),
    );
    this.rules.build();
  }

  /** Works off what is due now, by looks and by deliveries. */
  async drain(): Promise<void> {
    while ((await this.agenda.runDue()) + (await this.worker.drain()) > 0);
  }

  /** Tells of what was recorded, after its commit, and wakes who works on. */
  announce({ events, looks }: Recorded): void {
    for (const event of events) this.events.next(event);
    if (looks) this.agendaTicker.pulse();
    if (events.length > 0 && this.settings.worker.enabled) this.workerTicker.pulse();
  }
}
