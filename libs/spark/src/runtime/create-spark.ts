import type { DataSource } from 'typeorm';
import { AlertListeners } from '../alert/alert-listeners.js';
import { AlertNotifier } from '../alert/alert-notifier.js';
import { AlertWatch, type Watched } from '../alert/alert-watch.js';
import { CriteriaWrites } from '../capture/criteria-writes.js';
import { EntitySubscriber } from '../capture/entity.subscriber.js';
import { LiveRules } from '../capture/live-rules.js';
import { BootContext } from '../common/boot-context.js';
import type { SparkClock } from '../common/clock.js';
import { Counters } from '../common/counters.js';
import type { SparkSettings } from '../config/spark.settings.js';
import { dialectOf } from '../database/dialects.js';
import { listenToNewConnections } from '../database/driver-connections.js';
import { OwnConnection } from '../database/own-connection.js';
import { poolSize, SPARE, usualConcurrency } from '../database/pool-size.js';
import { StatementDeadline } from '../database/statement-deadline.js';
import { tableNames } from '../database/table-names.js';
import { Transactions } from '../database/transactions.js';
import { Attempts } from '../deliver/attempt.js';
import { BatchClaims } from '../deliver/batch-claims.js';
import { Carriage } from '../deliver/carriage.js';
import { Claimer } from '../deliver/claimer.js';
import { Completions } from '../deliver/completions.js';
import { Contexts } from '../deliver/contexts.js';
import { Dispatcher } from '../deliver/dispatcher.js';
import { HandlerSlots } from '../deliver/handler-slots.js';
import { type Ended, Handling } from '../deliver/handling.js';
import { LimitedClaims } from '../deliver/limited-claims.js';
import { Looks } from '../deliver/looks.js';
import { Queues } from '../deliver/queues.js';
import { Settler } from '../deliver/settler.js';
import { StillWanted } from '../deliver/still-wanted.js';
import { SureReads } from '../deliver/sure-reads.js';
import { TakeOvers } from '../deliver/take-overs.js';
import { Worker } from '../deliver/worker.js';
import { DataSourceEntities } from '../entity/entity-lookup.js';
import { WrittenRows } from '../entity/written-rows.js';
import { ContextCodec } from '../event/context-codec.js';
import { Interceptors } from '../interceptor/interceptors.js';
import { HandlerRegistry } from '../handler/handler.registry.js';
import { DELIVERIES, RECHECKS } from '../notifier/notifier.js';
import { pausesOf } from '../notifier/notifiers.js';
import { Recorder, type RecordResult } from '../record/recorder.js';
import { TouchedPast } from '../record/touched-past.js';
import { RecheckRunner } from '../recheck/recheck-runner.js';
import type { Source } from '../source/source.js';
import { sourceNames, SourceRegistry } from '../source/source.registry.js';
import { Alerts } from '../store/alerts.js';
import { AbandonedRechecks } from '../store/abandoned-rechecks.js';
import { Adoption } from '../store/adoption.js';
import { Activation } from '../store/activation.js';
import { Chores } from '../store/chores.js';
import { Conditions } from '../store/conditions.js';
import { Deliveries } from '../store/deliveries.js';
import { FailedAttempts } from '../store/failed-attempts.js';
import { DeliveryAdmin } from '../store/delivery-admin.js';
import { DigestClaims } from '../store/digest-claims.js';
import { EventAdmin } from '../store/event-admin.js';
import { FleetLimiter } from '../store/fleet-limiter.js';
import { Gathered } from '../store/gathered.js';
import { HandlerPauses } from '../store/handler-pauses.js';
import { HeldDeliveries } from '../store/held-deliveries.js';
import { Ledger } from '../store/ledger.js';
import { Rechecks } from '../store/rechecks.js';
import { Rescue } from '../store/rescue.js';
import { RegisteredHandlers } from '../store/registered-handlers.js';
import { Retention } from '../store/retention.js';
import { SweepMarks } from '../store/sweep-marks.js';
import { SweepRanges } from '../store/sweep-ranges.js';
import { SweepRows } from '../store/sweep-rows.js';
import { Sweeps } from '../store/sweeps.js';
import { WorkerLease } from '../store/worker-lease.js';
import { ChangedRows } from '../sweep/changed-rows.js';
import { MissedDetector } from '../sweep/missed-detector.js';
import { SourceSweeper } from '../sweep/source-sweeper.js';
import { GoneConditions } from '../sweep/gone-conditions.js';
import { Sweep } from '../sweep/sweep.js';
import { SweptPast } from '../sweep/swept-past.js';
import { Carrying } from './carrying.js';
import { Maintenance } from './maintenance.js';
import { RecordedEvents } from './recorded-events.js';
import { Ticker } from './ticker.js';
import { WorkSignals } from './work-signals.js';

/** The token of the parts of a SparkModule. */
export const SPARK = Symbol('SPARK');

/** The parts of one SparkModule. */
export type Spark = ReturnType<typeof createSpark>;

// How long the worker waits between claims, so that one claim takes several deliveries, in milliseconds.
const TOGETHER = 5;

// How long a transaction of the application waits for what was true before it, in milliseconds, for each statement.
const LONGEST_LOOK_BACK = 2_000;

/** Creates the parts of one SparkModule, in the order of the data path. It sends no statement. */
export function createSpark(dataSource: DataSource, settings: SparkSettings, clock: SparkClock) {
  const base = createBase(dataSource, settings, clock);
  const recording = createRecording(base);
  const rechecking = createRechecking(base, recording);
  const delivering = createDelivering(base, (source) => sweeping.sweep.help(source));
  const administering = createAdministering(base);
  const sweeping: Sweeping = createSweeping(base, recording, administering, delivering.carrying);
  const parts = { ...base, ...recording, ...rechecking, ...delivering, ...administering, ...sweeping };
  return { ...parts, maintenance: new Maintenance(parts), ...createAlerting(base, parts) };
}

/** The parts that all others use: the database, the registries and the notifier. */
function createBase(dataSource: DataSource, settings: SparkSettings, clock: SparkClock) {
  const tables = tableNames(dataSource, settings.tablePrefix, settings.schema);
  const dialect = dialectOf(dataSource, tables, settings.postgres.prepare);
  const deadline = new StatementDeadline(dataSource, settings.statementTimeout);
  listenToNewConnections(dataSource);
  const transactions = new Transactions(dataSource, dialect);
  const context = new BootContext();
  const counters = new Counters();
  const entities = new DataSourceEntities(dataSource);
  const sources = new SourceRegistry();
  const registered = new RegisteredHandlers(tables, clock, settings.handlerExpiry, counters);
  const signals = new WorkSignals(dataSource, dialect, tables, settings.statementTimeout);
  const interceptors = new Interceptors(counters);
  const recorded = new RecordedEvents(context, signals, interceptors);
  const sweepRows = new SweepRows(dialect, tables, settings.worker.lease.ttl);
  return {
    dataSource,
    dataSourceName: settings.dataSource ?? 'default',
    settings,
    clock,
    tables,
    dialect,
    deadline,
    transactions,
    context,
    counters,
    interceptors,
    entities,
    codec: new ContextCodec(entities),
    sources,
    sweepRows,
    adoption: new Adoption(tables, sources, sweepRows, clock),
    handlers: new HandlerRegistry(),
    registered,
    handlerPauses: new HandlerPauses(transactions, dialect, tables, registered),
    rechecks: new Rechecks(dialect, tables),
    conditions: new Conditions(dialect, tables, (name) => sources.named(name) !== undefined),
    failedAttempts: new FailedAttempts(tables),
    signals,
    notifier: signals.notifier,
    recorded,
    onRecorded: (result: RecordResult) => recorded.onRecorded(result),
    pauses: pausesOf(dataSource, settings.worker.pollInterval),
  };
}

type Base = ReturnType<typeof createBase>;

/** The parts that record a write inside its transaction: subjects → events → ledger and rechecks. */
function createRecording({ dataSource, dialect, tables, registered, counters, entities, clock, ...base }: Base) {
  const { sources, rechecks, conditions, codec, interceptors, onRecorded, adoption } = base;
  const rootNamed = (text: string) => entities.rootNamed(text);
  const ledger = new Ledger(dialect, tables, registered, counters, rootNamed);
  const patience = Math.min(base.settings.statementTimeout, LONGEST_LOOK_BACK);
  const beside = new OwnConnection(dataSource, dialect, patience, patience);
  const past = new TouchedPast(
    beside,
    { dialect, tables },
    sources,
    adoption,
    rechecks,
    ledger,
    clock,
    counters,
    () => recorder,
  );
  const recorder: Recorder = new Recorder(
    sources,
    ledger,
    rechecks,
    conditions,
    new WrittenRows(dialect),
    codec,
    clock,
    counters,
    interceptors,
    adoption,
    past,
  );
  const rules = new LiveRules(dataSource, sources, dialect);
  const subscriber = new EntitySubscriber(rules, recorder, onRecorded);
  const criteria = new CriteriaWrites(dialect, rules, rechecks, subscriber, clock);
  return { ledger, recorder, past, rules, subscriber, criteria };
}

type Recording = ReturnType<typeof createRecording>;

/** The parts that run due rechecks, outside of the application's transactions. */
function createRechecking(base: Base, { recorder }: Recording) {
  const { dataSource, transactions, rechecks, sources, clock, settings, onRecorded, context, signals } = base;
  const { ttl } = settings.worker.lease;
  const recheckRunner = new RecheckRunner(
    dataSource,
    transactions,
    rechecks,
    sources,
    recorder,
    clock,
    ttl,
    onRecorded,
    () => recheckTicker.trigger(),
    () => signals.notifyOthers(RECHECKS),
  );
  const begin = () => recheckRunner.begin();
  const untilDue = (most: number) => recheckRunner.untilDue(most);
  const recheckTicker = new Ticker('recheck', context, base.pauses, begin, untilDue);
  signals.connect('rechecks', {
    trigger: () => recheckTicker.trigger(),
    isStarted: () => recheckTicker.isStarted,
    hasPlace: () => recheckRunner.hasPlace,
  });
  return { recheckRunner, recheckTicker };
}

/** The parts that handle deliveries: claim → attempt → completion, or a retry later. */
function createDelivering(base: Base, helpSweep: HelpSweep) {
  const { dataSource, dialect, tables, transactions, settings, clock, counters, signals, sources, handlers } = base;
  const { lease: times, maxAttempts } = settings.worker;
  /** How many deliveries this process handles at once. */
  const concurrency = settings.worker.concurrency ?? usualConcurrency(dataSource);
  const gathered = new Gathered(dialect, tables);
  const deliveries = new Deliveries(dialect, tables, settings.history, gathered, new DigestClaims(dialect, tables));
  const patience = Math.min(settings.statementTimeout, times.ttl / 3);
  const rescue = new Rescue(transactions, dialect, tables);
  const lease = new WorkerLease(
    transactions,
    new OwnConnection(dataSource, dialect, patience, settings.statementTimeout),
    dialect,
    tables,
    times,
    rescue,
    () => signals.notifier.channel,
    () => handling.abandon(),
    (limit) => handling.ended(limit),
    (count) => signals.rescued(count),
  );
  const completions = new Completions(transactions, lease, deliveries, clock);
  const onLeft = () => signals.notifyOthers(DELIVERIES);
  // A retry that is due before the next poll begins in time.
  const onAvailable = (due: number) => {
    for (const ticker of [workerTicker, carrying?.ticker]) ticker?.triggerWhen(() => due - clock.now());
  };
  const settler = new Settler(
    transactions,
    lease,
    deliveries,
    base.failedAttempts,
    clock,
    counters,
    onLeft,
    onAvailable,
  );
  const slots = new HandlerSlots(concurrency, poolSize(dataSource) - SPARE, () => handlers.all());
  const queues = new Queues();
  const carriage = new Carriage(settings.worker.carrier, () => handlers.all());
  const looks = new Looks(dataSource, deliveries, carriage, queues, clock);
  const limiter = new FleetLimiter(dialect, tables);
  const onWaited = () => workerTicker.trigger();
  const limited = new LimitedClaims(transactions, deliveries, limiter, queues, onWaited);
  const { passed } = settler;
  const batches = new BatchClaims(transactions, deliveries, limited, passed, clock, onAvailable);
  const claimer = new Claimer(
    dataSource,
    transactions,
    lease,
    deliveries,
    slots,
    queues,
    looks,
    limited,
    batches,
    passed,
    carriage,
    clock,
  );
  const reads = new SureReads(dataSource, dialect);
  const contexts = new Contexts(base.codec, base.entities, sources, reads);
  const wanted = new StillWanted(reads, sources, base.conditions, clock);
  const attempts = new Attempts(transactions, deliveries, wanted, clock, handlers, maxAttempts, base.interceptors);
  const onFreed = () => workerTicker.trigger();
  const isLeft = (name: string) => !carriage.carries(handlers.named(name)!);
  const onFull = (names: readonly string[]) => signals.hint(names.filter(isLeft));
  const onSettled = (ended: Ended, isOurs: boolean | undefined) => carrying?.takeOvers.settled(ended, isOurs);
  const handling: Handling = new Handling(
    claimer,
    lease,
    completions,
    contexts,
    slots,
    attempts,
    settler,
    onFreed,
    onFull,
    onSettled,
  );
  const worker = new Worker(claimer, handling, lease, slots);
  const workerTicker: Ticker = new Ticker('worker', base.context, base.pauses, () => worker.fill(TOGETHER));
  const parts = { deliveries, lease, slots, carriage, looks, claimer, handling, worker, workerTicker };
  const carrying: Carrying | undefined = createCarrying(base, parts, helpSweep);
  connectDeliveries(base, parts, carrying);
  return { ...parts, concurrency, rescue, completions, limiter, gathered, settler, carrying };
}

/** Sweeps a range of a sweep that other processes are running. Returns whether there was one. */
type HelpSweep = (source: string) => Promise<boolean>;

/** The parts of {@link createDelivering} that the carrier uses, too. */
interface Delivering {
  readonly deliveries: Deliveries;
  readonly lease: WorkerLease;
  readonly slots: HandlerSlots;
  readonly carriage: Carriage;
  readonly looks: Looks;
  readonly claimer: Claimer;
  readonly handling: Handling;
  readonly worker: Worker;
  readonly workerTicker: Ticker;
}

/** The parts that send deliveries by a carrier, and take over what it brings: dispatch → send, and handle → take over. */
function createCarrying(base: Base, parts: Delivering, helpSweep: HelpSweep) {
  const { deliveries, lease, slots, claimer, ...delivering } = parts;
  const { context, handlers, transactions, clock, counters, signals } = base;
  const { carriage, handling, workerTicker } = delivering;
  const { carrier } = carriage;
  if (!carrier) return undefined;
  const dispatcher = new Dispatcher(carrier, carriage, claimer, handlers, slots, transactions, deliveries, clock);
  const ticker = new Ticker('dispatcher', context, base.pauses, () => dispatcher.fill(TOGETHER));
  const onLeft = () => signals.notify(DELIVERIES);
  const takeOvers = new TakeOvers(
    context,
    carrier,
    carriage,
    claimer,
    handling,
    lease,
    slots,
    handlers,
    transactions,
    deliveries,
    clock,
    counters,
    onLeft,
  );
  return new Carrying(carrier, carriage, dispatcher, takeOvers, context, ticker, workerTicker, base.sources, helpSweep);
}

/** Lets what happens to deliveries, here and in other processes, trigger the claims and dispatches of this process. */
function connectDeliveries({ signals, handlers }: Base, delivering: Delivering, carrying: Carrying | undefined): void {
  const { carriage, looks, slots, worker, workerTicker } = delivering;
  const hasPlace = (name: string) => {
    const handler = handlers.named(name);
    if (!handler || !worker.isClaiming) return false;
    if (carriage.carries(handler)) return carrying!.hasRoom(handler);
    return carriage.works && slots.hasRoom(handler);
  };
  // Deliveries of a handler with limits or partitions may be in a queue that no look has found yet.
  const isAsked = (name: string) => (handlers.named(name)?.limits ?? handlers.named(name)?.partitionBy) !== undefined;
  const before = (names: readonly string[] | 'all') => {
    if (names === 'all' || names.some(isAsked)) looks.lookAtNextClaim();
  };
  const trigger = () => {
    workerTicker.trigger();
    carrying?.ticker.trigger();
  };
  const isStarted = () => workerTicker.isStarted;
  signals.connect('deliveries', { trigger, isStarted, hasPlace, before });
}

/** The parts behind the calls on many deliveries and events, and those that remove old rows. */
function createAdministering({ transactions, tables, sources, rechecks, failedAttempts, settings, ...base }: Base) {
  const { signals, counters, sweepRows } = base;
  const namesOf = (name: string) => {
    const source = sources.named(name);
    return source ? sourceNames(source) : [name];
  };
  const { retention } = settings;
  const onReleased = () => signals.notify(DELIVERIES);
  const held = new HeldDeliveries(transactions, tables, onReleased, namesOf);
  const liveRoots = () => sources.liveRoots();
  return {
    held,
    admin: new DeliveryAdmin(tables, base.dialect),
    eventAdmin: new EventAdmin(tables, failedAttempts, sweepRows),
    chores: new Chores(transactions, base.dialect, tables, settings.worker.lease.ttl),
    retention: new Retention(transactions, tables, failedAttempts, sweepRows, retention),
    abandoned: new AbandonedRechecks(transactions, rechecks, liveRoots, counters, retention.rechecks),
  };
}

type Administering = ReturnType<typeof createAdministering>;

/** The parts that sweep tables range by range. */
function createSweeping(base: Base, { recorder }: Recording, { held }: Administering, carrying: Carrying | undefined) {
  const { dataSource, transactions, dialect, tables, clock, context, sources, settings, rechecks, onRecorded } = base;
  const { adoption, sweepRows: rows } = base;
  const { sweeping, version } = settings;
  const { ttl } = settings.worker.lease;
  const activation = new Activation(dataSource, dialect, tables, held, settings.activation.limit);
  const sweeps = new Sweeps(dataSource, transactions, rows, new SweepRanges(dialect, tables, ttl), ttl);
  const changed = new ChangedRows(dialect, activation, clock, version, sweeping.full);
  const missed = new MissedDetector(dataSource, rechecks, recorder);
  const gone = new GoneConditions(dataSource, transactions, recorder, base.conditions, clock);
  const sweeper = new SourceSweeper(
    dataSource,
    transactions,
    recorder,
    sweeps,
    rows,
    activation,
    adoption,
    new SweptPast(dataSource, adoption, recorder, rechecks),
    held,
    missed,
    gone,
    clock,
    onRecorded,
  );
  const rowsOf = ({ metadata }: Source) => dialect.estimatedRows(dataSource.manager, metadata);
  const askForHelp = (source: string, ranges: number) => carrying?.askForHelp(source, ranges);
  const parts = { dataSource, sweeps, rows, activation, changed, sweeper, clock, rowsOf, ttl, askForHelp };
  return { activation, sweep: new Sweep(context, sources, parts, sweeping, version) };
}

type Sweeping = ReturnType<typeof createSweeping>;

// How often each process watches for alerts, in milliseconds.
const WATCH = 60_000;

/** The parts that watch for alerts. Where the options switch alerts off, there are only listeners, and nobody notifies them. */
function createAlerting({ settings, dialect, tables, transactions, clock, counters, ...base }: Base, watched: Watched) {
  const alertListeners = new AlertListeners(settings.alerts);
  const alerts = new Alerts(dialect, tables);
  const alertNotifier = new AlertNotifier(transactions, alerts, alertListeners, clock, counters, base.dataSourceName);
  const marks = new SweepMarks(tables);
  const alertWatch = settings.alerts && new AlertWatch(watched, settings.alerts, alerts, marks, alertNotifier);
  const pauses = { shortest: WATCH, longest: WATCH };
  const alertTicker = alertWatch && new Ticker('watch for alerts', base.context, pauses, () => alertWatch.tick());
  return { alertListeners, alertWatch, alertTicker };
}
