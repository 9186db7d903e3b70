import type { Observable } from 'rxjs';
import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm';
import type { BulkOptions, RedeliveryOptions } from './store/bulk-run.js';
import type { Orphans } from './store/delivery-admin.js';
import type { Erased } from './store/event-admin.js';
import { InvalidEventError } from './error/invalid-event.error.js';
import { NoTransactionError } from './error/no-transaction.error.js';
import { NotStartedError } from './error/not-started.error.js';
import { UnknownHandlerError } from './error/unknown-handler.error.js';
import { positiveInteger } from './config/option-parsers.js';
import { messageOf } from './error/wording.js';
import { checkEvent, NEVER } from './event/event-check.js';
import type { SparkEvent } from './event/spark-event.js';
import { DrainWithinError } from './error/drain-within.error.js';
import { waitingCall } from './event/waited-for.js';
import type { LedgerEntry } from './store/ledger.js';
import { Derivation, emitted, nameOf } from './record/derivation.js';
import type { DeliveryReport } from './common/delivery-report.js';
import type { Spark } from './runtime/create-spark.js';
import { drain } from './runtime/drain.js';
import type { SparkLifecycle } from './runtime/spark.lifecycle.js';
import { isInTransaction } from './database/present-transaction.js';
import { isSerialized } from './database/sqlite/sqlite-serializer.js';
import { withRunner } from './database/statement.js';
import { attemptsOf, errorPage } from './inspect/errors.js';
import type { All, DeliveryRecordFilter, EventFilter, RecheckFilter } from './store/record-filter.js';
import { explain } from './inspect/explain.js';
import { healthOf, type HealthRequest, type SparkHealth } from './inspect/health.js';
import type { Explanation } from './inspect/explanation.js';
import { overtaking } from './inspect/overtaking.js';
import { plan } from './inspect/plan.js';
import type { PlanSummary } from './inspect/plan-summary.js';
import type { Planned } from './inspect/planned.js';
import { summarize } from './inspect/summarize.js';
import { deliveryPage, eventPage, recheckPage } from './inspect/record-pages.js';
import type {
  AttemptRecord,
  DeliveryRecord,
  ErrorRecord,
  EventRecord,
  Page,
  PageRequest,
  RecheckRecord,
} from './inspect/records.js';
import { handlersOf, type HandlersRequest, type HandlerStatus } from './inspect/handlers.js';
import { heldOf, type HeldRequest, type HeldSample, MOST_HELD } from './inspect/held.js';
import { ratesOf, type RatesRequest, type SparkRates } from './inspect/rates.js';
import {
  sourcesOf,
  type SourceStatus,
  type SparkStatus,
  statusOf,
  workersOf,
  type WorkerStatus,
} from './inspect/status.js';
import { DELIVERIES } from './notifier/notifier.js';
import { Administration, type Replay } from './runtime/administration.js';
import { planGiven, type PlanOptions, type PlanSummaryOptions } from './runtime/plan.arguments.js';
import {
  baselineGiven,
  type BaselineOptions,
  sourceNameGiven,
  type SweepCallOptions,
  sweepGiven,
} from './runtime/sweep.arguments.js';
import {
  checkDeliveryId,
  DELIVERY_FILTER,
  entityIn,
  EVENT_FILTER,
  isEntity,
  handlerNamesGiven,
  keyGiven,
  metadataGiven,
  sourcesGiven,
} from './runtime/spark.arguments.js';
import type { SweepProgress, SweepReport } from './sweep/sweep-report.js';

/**
 * The API that an application calls. Inject it by its class, or by `@InjectSpark('name')` for a named DataSource. Its methods throw
 * NotStartedError before the application has been initialised.
 *
 * @example
 * constructor(private readonly spark: SparkService) {}
 */
export class SparkService {
  /** Events that this process has entered, after their commit. A subscriber that throws ends the process, as always in rxjs. */
  readonly events$: Observable<SparkEvent>;
  /** How each attempt of this process has ended. */
  readonly deliveries$: Observable<DeliveryReport>;
  /** The progress of sweeps of this process, after each page of 500 entities. */
  readonly sweeps$: Observable<SweepProgress>;
  private readonly administration: Administration;

  constructor(
    private readonly spark: Spark,
    private readonly lifecycle: Pick<SparkLifecycle, 'started' | 'start' | 'pause'>,
  ) {
    this.events$ = spark.recorded.stream.asObservable();
    this.deliveries$ = spark.settler.reports$;
    this.sweeps$ = spark.sweep.progress$;
    this.administration = new Administration(spark);
  }

  /**
   * Enters events that do not derive from the state of an entity, such as "mail bounced". Each key is entered once, like all others.
   *
   * @param events One event or several. An `at` in the future is refused, because no source could take it back.
   * @returns The events that were new, after their commit.
   * @throws InvalidEventError if one of them cannot be entered; then none is.
   *
   * @example
   * const [isNew] = await spark.emit(sparkEvent('mail_bounced', bounce.id, { address }));
   */
  async emit(events: SparkEvent | readonly SparkEvent[]): Promise<SparkEvent[]>;
  /**
   * Enters events just before an open transaction commits. They exist if and only if it commits.
   *
   * @param events One event or several.
   * @param options.manager The manager of the transaction.
   * @throws InvalidEventError if one of them cannot be entered; NoTransactionError if the manager has no transaction.
   *
   * @example
   * await dataSource.transaction(async (manager) => {
   *   await manager.update(Account, id, { closed: true });
   *   await spark.emit(sparkEvent('account_closed', id), { manager });
   * });
   */
  async emit(events: SparkEvent | readonly SparkEvent[], options: { manager: EntityManager }): Promise<void>;
  async emit(
    events: SparkEvent | readonly SparkEvent[],
    options?: { manager: EntityManager },
  ): Promise<SparkEvent[] | void> {
    this.checkStarted();
    const entries = (Array.isArray(events) ? (events as SparkEvent[]) : [events as SparkEvent]).flatMap((event) =>
      this.entry(event),
    );
    if (options) return this.enterWith(options.manager, entries);
    this.reportTransaction();
    const { clock, recorder, transactions } = this.spark;
    const now = clock.now();
    const how = { emitted: entries, likelyNew: true };
    const recorded = await transactions.run((manager) => recorder.enter(manager, new Derivation(now), now, how));
    this.spark.recorded.onRecorded(recorded);
    return recorded.events;
  }

  /**
   * Runs the sources of all entities, and enters the events that are missing: those of rows that were written by raw SQL, by other
   * programs, or before Spark was added. It is safe at any time and in any number of processes.
   *
   * Processes that sweep a source at the same time share the sweep: each takes one range of keys after the other. When the call
   * resolves, every entity has been read as it was at the time of the call, or later: by this process, or by others. If a sweep is
   * running already, the call first helps to end it, and then sweeps once more. If a process is killed, the others take its range over
   * after `worker.leaseTtl`.
   *
   * In the first sweep in which a source yields a group, the deliveries of that group are held. At the end of the sweep they are
   * released if they are at most `activation.limit`. More wait for `release` or `discard`.
   *
   * With `ids`, `from` or `to`, this process reads only some of the entities, beside all other sweeps. Events of groups that were never
   * swept are held until the first whole sweep ends.
   *
   * @param options Which entities, and how fast. Default: all sources, as the module's `sweep` says.
   * @returns What this process did. It resolves at the end of the sweep; `sweeps$` reports the progress. `elsewhere` counts the sources
   * that processes with another version of the source are sweeping: call it again for these. `paused` counts those that are paused.
   * @throws NoSourceError if the entity has no source; UnknownSourceError if this process has no such source; InvalidOptionsError for an
   * invalid option; UnknownEntityError if the DataSource does not have the entity; TypeError for an invalid id; the reason of the signal.
   *
   * @example
   * const { subjects, entered } = await spark.sweep();
   * await spark.sweep({ entity: Order, from: 1_000_000, rate: 500 });
   */
  async sweep(options: SweepCallOptions = {}): Promise<SweepReport> {
    this.checkStarted();
    const { sweep } = this.spark;
    const { chosen, limits, full, some } = sweepGiven(this.spark, options);
    return some ? sweep.runApart(chosen, some, limits) : sweep.run(chosen, { full }, limits);
  }

  /**
   * Pauses the sweeps of a source in all processes, until `resumeSweep`. A running sweep ends within about a second of its next page,
   * and continues there later. Live capture and rechecks go on. The pause outlasts restarts and deploys.
   *
   * @param source The source's name, or a former one. This process need not have it, if it was swept before.
   * @throws UnknownSourceError when no process has ever swept such a source.
   *
   * @example
   * await spark.pauseSweep('ChallengeEvents.events'); // the database is busy
   */
  async pauseSweep(source: string): Promise<void> {
    this.checkStarted();
    const { clock, sweepRows, transactions } = this.spark;
    await sweepRows.pause(transactions.manager, await sourceNameGiven(this.spark, source), clock.now());
  }

  /**
   * Ends the pause of a source. The next slot of the schedule, or the next call of `sweep`, continues the sweep. For a source that is not
   * paused, nothing changes.
   *
   * @param source The source's name, or a former one.
   * @throws UnknownSourceError when no process has ever swept such a source.
   *
   * @example
   * await spark.resumeSweep('ChallengeEvents.events');
   */
  async resumeSweep(source: string): Promise<void> {
    this.checkStarted();
    const { sweepRows, transactions } = this.spark;
    await sweepRows.resume(transactions.manager, await sourceNameGiven(this.spark, source));
  }

  /**
   * Works until no recheck is due and no delivery is available any more, also in a process whose worker is not enabled. It is for tests
   * and scripts. It does not wait for deliveries that wait for their next attempt, or that another process is handling.
   *
   * @throws DrainWithinError if a source or a handler calls it, because it would wait for itself.
   *
   * @example
   * await challenges.save(challenge);
   * await spark.drain();
   * expect(outbox).toHaveLength(1);
   */
  async drain(): Promise<void> {
    this.checkStarted();
    const within = waitingCall(this.spark.dataSource);
    if (within !== undefined) throw new DrainWithinError(within);
    await drain(this.spark);
  }

  /**
   * Forgets an entity: its events, their deliveries and its rechecks. Its events can then happen again. Use it for ids that are used
   * again. Use {@link erase} for personal data of an entity whose events must not happen again.
   *
   * @param entity The entity class.
   * @param id Its id; the parts of a composite one in the order of its primary columns, or as an object.
   * @param options Options for many events: see {@link BulkOptions}.
   * @returns How many events it has removed.
   * @throws UnknownEntityError if the DataSource does not have the entity; TypeError if a part of the id is missing.
   *
   * @example
   * await spark.forget(Challenge, challenge.id);
   */
  async forget(entity: EntityTarget<ObjectLiteral>, id: unknown, options?: BulkOptions): Promise<number>;
  /**
   * Forgets events with all their deliveries, so that their keys can be entered again. Rechecks stay. It also removes events that a
   * handler is handling at the moment; the handler goes on.
   *
   * @param filter The events, as in {@link events}; `{ all: true }` means all, and an empty filter is refused.
   * @param options Options for many events: see {@link BulkOptions}.
   * @returns How many events it has removed.
   * @throws InvalidOptionsError for an invalid part of the filter or options; and what {@link events} throws.
   *
   * @example
   * await spark.forget({ key: 'newsletter_2026-03' });
   */
  async forget(filter: EventFilter | All, options?: BulkOptions): Promise<number>;
  async forget(what: EntityTarget<ObjectLiteral> | EventFilter | All, ...rest: unknown[]): Promise<number> {
    this.checkStarted();
    if (isEntity(this.spark, what)) return this.administration.forgetEntity(what, rest[0], rest[1] ?? {});
    return this.administration.forgetEvents(what, rest[0] ?? {});
  }

  /**
   * Erases the data of an entity that Spark has stored: the contexts and metadata of its events, with the snapshots in them, the errors
   * of their deliveries, and their failed attempts. Deliveries that wait or are held are discarded for the reason `erased`, because
   * their context is gone; `retry` does not change them. The events stay with their keys, group, source, entity, id and times, so that
   * they do not happen again. Delete or anonymise the row first: Spark records later saves of it as usual.
   *
   * It finds the events that a source yielded for the entity. It does not find events of other entities whose contexts hold its values,
   * or events of `emit`: use {@link forget} for these.
   *
   * @param entity The entity class.
   * @param id Its id; the parts of a composite one in the order of its primary columns, or as an object.
   * @param options Options for many events: see {@link BulkOptions}.
   * @returns How many events were erased, how many deliveries were discarded, and how many events keep their data because a handler is
   * handling them. If `running` is above 0, call it again when the handlers have ended.
   * @throws UnknownEntityError if the DataSource does not have the entity; TypeError if a part of the id is missing;
   * InvalidOptionsError for an invalid option.
   *
   * @example
   * await users.delete(id);
   * const { events, running } = await spark.erase(User, id);
   */
  async erase(entity: EntityTarget<ObjectLiteral>, id: unknown, options: BulkOptions = {}): Promise<Erased> {
    this.checkStarted();
    return this.administration.erase(entity, id, options);
  }

  /**
   * Starts rechecks, deliveries and scheduled sweeps if `autoStart` is `false` or `pause` was called. Otherwise it does nothing. With a
   * `TestClock` it starts nothing.
   *
   * @example
   * await migrateTheOldData();
   * await spark.start();
   */
  async start(): Promise<void> {
    this.checkStarted();
    await this.lifecycle.start();
  }

  /**
   * Stops rechecks, deliveries and scheduled sweeps of this process until `start` is called. Running work ends, and no new work begins.
   * A sweep ends at its next page, and the next sweep continues there. Live capture still records, other processes go on, and `drain`
   * and `sweep` still work.
   *
   * @returns A promise that resolves when running handlers and sources have ended. Give handlers a `timeout`, so that this is not for ever.
   *
   * @example
   * await spark.pause();
   * await importOrders();
   * await spark.start();
   */
  async pause(): Promise<void> {
    this.checkStarted();
    await this.lifecycle.pause();
  }

  /**
   * Pauses a handler in all processes, until `resumeHandler`. Its deliveries stay available and wait, also those that are due for
   * another attempt. Events still open deliveries for it. The pause covers the handler's former names (`aliases`), and it outlasts
   * restarts and deploys. `pause`, in contrast, ends all work of one process.
   *
   * Attempts that have begun go on to their end: `deliveries({ handler, state: 'running' })` lists them.
   *
   * @param name The handler's name, or a former one. This process need not have it.
   * @returns A promise that resolves when no process begins another attempt. A handler that is paused already stays so.
   * @throws UnknownHandlerError when no process has ever registered such a handler.
   *
   * @example
   * await spark.pauseHandler('challenge-mails'); // the mail server is down
   */
  async pauseHandler(name: string): Promise<void> {
    const names = await this.reading((manager) => handlerNamesGiven(this.spark, manager, name));
    await this.spark.handlerPauses.pause(names, this.spark.clock.now());
  }

  /**
   * Ends the pause of a handler: all processes go on with its deliveries at once. On MariaDB and MySQL, other processes go on at
   * their next poll, after a second at most.
   *
   * @param name The handler's name, or a former one. For a handler that is not paused, nothing changes.
   * @throws UnknownHandlerError when no process has ever registered such a handler.
   *
   * @example
   * await spark.resumeHandler('challenge-mails');
   */
  async resumeHandler(name: string): Promise<void> {
    const names = await this.reading((manager) => handlerNamesGiven(this.spark, manager, name));
    await this.spark.handlerPauses.resume(names);
    this.spark.signals.notify(DELIVERIES);
  }

  /**
   * Makes discarded deliveries available again, with all their attempts; not those of a baseline, those that were held, and erased
   * ones. Those that wait for their next try are due at once. What is new meanwhile comes before all of these.
   *
   * @param filter The deliveries, as in {@link deliveries}. Default: all that are discarded or wait.
   * @param options Options for many deliveries, and their priority: see {@link RedeliveryOptions}.
   * @returns How many deliveries it has changed.
   * @throws InvalidOptionsError for an invalid part of the filter or options, or a `state` that is neither `discarded` nor `available`;
   * and what {@link deliveries} throws.
   *
   * @example
   * await spark.retry({ handler: 'challenge-mails', error: 'ECONNREFUSED' });
   */
  async retry(filter: DeliveryRecordFilter | All = {}, options: RedeliveryOptions = {}): Promise<number> {
    this.checkStarted();
    return this.administration.retry(filter, options);
  }

  /**
   * Discards deliveries. With the name of a group it discards the held deliveries of that group, as the counterpart of `release`. With a
   * filter it discards deliveries that wait or are held, not those that are running. `retry` does not change deliveries that were held.
   *
   * @param what The name of a group whose held deliveries are discarded; or the deliveries, as in {@link deliveries}; `{ all: true }`
   * means all, and an empty filter is refused.
   * @param options Options for many deliveries: see {@link BulkOptions}.
   * @returns How many deliveries it has discarded.
   * @throws InvalidOptionsError for an invalid part of the filter or options, an empty filter, or a `state` that is neither `available`
   * nor `held`; and what {@link deliveries} throws.
   *
   * @example
   * await spark.discard('challenge_ends_2d');
   * await spark.discard({ handler: 'old-mails' });
   */
  async discard(what: string | DeliveryRecordFilter | All, options: BulkOptions = {}): Promise<number> {
    this.checkStarted();
    return this.administration.discard(what, options);
  }

  /**
   * Makes held deliveries available. The first sweep of a group holds its deliveries if they are more than `activation.limit`.
   *
   * @param what The group's name; or the deliveries, as in {@link deliveries}; `{ all: true }` means all, and an empty filter is refused.
   * If a first sweep is still running, the deliveries that it finds after this call are held again.
   * @param options Options for many deliveries, their priority, and how many at most: see {@link RedeliveryOptions}.
   * @returns How many deliveries are available now.
   * @throws InvalidOptionsError for an invalid part of the filter or options, an empty filter, or a `state` other than `held`; and what
   * {@link deliveries} throws.
   *
   * @example
   * for (const { group } of (await spark.status()).held) await spark.release(group);
   *
   * @example
   * await spark.release('challenge_ends_2d', { limit: 10 }); // the ten that were opened first
   */
  async release(what: string | DeliveryRecordFilter | All, options: RedeliveryOptions = {}): Promise<number> {
    this.checkStarted();
    return this.administration.release(what, options);
  }

  /**
   * Enters the events of all present rows of an entity without delivering them. Use it to add Spark, or a source, to a table that has
   * data. It sweeps the entity from the start. The deliveries of the events that it enters are discarded at once, for the reason
   * `baseline`, and so are held deliveries. `replay` with `repeat` delivers them after all; `retry` does not change them. Call it before
   * the first scheduled sweep, which delivers up to `activation.limit` of each group.
   *
   * @param entity The entity class.
   * @param options How fast, and what ends it: see {@link BaselineOptions}.
   * @returns What this process did. If `elsewhere` is above 0, other processes are sweeping at the moment: call it again.
   * @throws NoSourceError if the entity has no source; InvalidOptionsError for an invalid option; the reason of the signal.
   *
   * @example
   * const { entered } = await spark.baseline(Order);
   */
  async baseline(entity: EntityTarget<ObjectLiteral>, options: BaselineOptions = {}): Promise<SweepReport> {
    this.checkStarted();
    const chosen = sourcesGiven(this.spark, 'SparkService.baseline', entity);
    return this.spark.sweep.run(chosen, { baseline: true }, baselineGiven(options));
  }

  /**
   * Reads the status of Spark in one object: the events that sweeps found and live capture missed, held deliveries, how many deliveries
   * are in each state, due rechecks, and the processes that work.
   *
   * It costs about a dozen reads. They count deliveries that wait, run, are held or are discarded, by indexes of these alone. Completed
   * deliveries are not counted, because that would read the whole table.
   *
   * @returns The present status of all processes; `running` and `counts` are of this process alone.
   *
   * @example
   * const { sources, held, rechecks } = await spark.status();
   * const missed = sources.reduce((sum, source) => sum + source.missed, 0);
   */
  async status(): Promise<SparkStatus> {
    this.checkStarted();
    return statusOf(this.spark);
  }

  /**
   * Reads the figures of a health check: the backlog, deliveries that were discarded of late, orphans, held deliveries, sweeps, and the
   * lease of this process. `SparkHealthIndicator` of `nestjs-spark/terminus` compares them with limits.
   *
   * It costs about ten reads by index, and a lookup for each handler and priority. They read at most about 1,000 rows each, however many
   * deliveries there are, so counts stop there. Call it as often as you like.
   *
   * @param request.discardedWithin How long ago deliveries were discarded at most, in ms or as text such as `'1h'`. Default: an hour.
   * @throws InvalidOptionsError if `discardedWithin` is not a duration.
   *
   * @example
   * const { now, backlog } = await spark.health();
   * for (const { handler, since } of backlog) console.log(handler, now.getTime() - since.getTime());
   */
  async health(request: HealthRequest = {}): Promise<SparkHealth> {
    this.checkStarted();
    return healthOf(this.spark, request);
  }

  /**
   * Lists events of the ledger, latest first.
   *
   * @param filter Selects by key, the beginning of the key, number, group, entity and id, source, the event that led to them, and the time at
   * which they were entered. Default: all.
   * @param page.limit How many records, 1 to 1,000. Default: 100.
   * @param page.after The `next` of the previous page. Default: the first page.
   * @param page.countUpTo Counts all records that the filter selects, up to this number. Default: it does not count.
   * @param page.readUpTo About how many rows it reads at most: see {@link PageRequest}. Default: no limit.
   * @throws InvalidOptionsError for an invalid part of the filter or page; UnknownEntityError if the DataSource does not have the entity;
   * TypeError for an id without an entity, or an invalid id.
   *
   * @example
   * const { records, next } = await spark.events({ entity: Challenge, id: 7 }, { limit: 20 });
   * for (const { key, recorded } of records) console.log(recorded.toISOString(), key);
   *
   * @example
   * // What the handlers of an event have led to:
   * const [{ id }] = (await spark.events({ key: 'order_paid_7' })).records;
   * const { records: next } = await spark.events({ causedBy: id });
   */
  async events(filter: EventFilter = {}, page: PageRequest = {}): Promise<Page<EventRecord>> {
    this.checkStarted();
    const of = entityIn(this.spark, 'SparkService.events', filter, EVENT_FILTER);
    return eventPage(this.spark, filter, of, page);
  }

  /**
   * Lists deliveries, those of the latest events first. With the state `held` or `discarded`, and no times, those that were opened last come
   * first.
   *
   * @param filter Selects as in {@link events}, and by id, handler, state, a part of the text of the last error, and its fingerprint.
   * Default: all.
   * @param page As in {@link events}.
   * @throws What {@link events} throws.
   *
   * @example
   * const { records } = await spark.deliveries({ state: 'discarded', error: 'timeout' });
   * for (const { handler, event, error } of records) console.log(handler, event.key, error);
   */
  async deliveries(filter: DeliveryRecordFilter = {}, page: PageRequest = {}): Promise<Page<DeliveryRecord>> {
    this.checkStarted();
    const of = entityIn(this.spark, 'SparkService.deliveries', filter, DELIVERY_FILTER);
    return deliveryPage(this.spark, filter, of, page);
  }

  /**
   * Lists the latest 20 failed attempts of a delivery, oldest first. They are kept as long as the delivery. An attempt is not kept if its
   * process died, if it threw `RetryLater`, or if it was given back.
   *
   * @param deliveryId The id of the delivery, as in `DeliveryRecord.id` and `HandlerScope.deliveryId`.
   * @returns The failed attempts; none if the delivery never failed or does not exist.
   * @throws InvalidOptionsError if `deliveryId` cannot be the id of a delivery.
   *
   * @example
   * for (const { attempt, started, host, error } of await spark.attempts(delivery.id))
   *   console.log(attempt, started.toISOString(), host, error);
   */
  async attempts(deliveryId: string): Promise<AttemptRecord[]> {
    checkDeliveryId('SparkService.attempts', deliveryId);
    return this.reading((manager) => attemptsOf(manager, this.spark, deliveryId));
  }

  /**
   * Finds those of a handler's events that would overtake an earlier one of their entity: one that the ledger has had before, and that the
   * handler is still to get. Events of `keys` do not overtake each other. Relays with `orderBy: 'entity'` ask this before they send.
   *
   * @param handler The name of a handler of this process.
   * @param keys The keys of its events. Those of emitted events overtake nothing, because they have no entity.
   * @returns The keys of those that would, each with the time until the last of the earlier ones is due, in milliseconds. It is 0 if that is
   * being handled, or about to be.
   * @throws UnknownHandlerError if this process has no such handler.
   *
   * @example
   * const waits = await spark.overtaking('order-relay', events.map(({ key }) => key));
   * const next = events.filter(({ key }) => !waits.has(key));
   */
  async overtaking(handler: string, keys: readonly string[]): Promise<Map<string, number>> {
    const own = this.spark.handlers.named(handler);
    if (!own)
      throw new UnknownHandlerError(
        handler,
        this.spark.handlers.all().map(({ name }) => name),
      );
    return this.reading((manager) => overtaking(manager, this.spark, own, keys));
  }

  /**
   * Lists the kinds of errors of deliveries that wait for their next attempt or are discarded: one record for each fingerprint and
   * handler, latest first. It reads all of these deliveries and their failed attempts.
   *
   * @param filter Selects the deliveries that count, as in {@link deliveries}. Default: all.
   * @param page As in {@link events}; with `readUpTo` it reads only so many of the latest failed attempts, and counts only their deliveries.
   * @throws What {@link events} throws.
   *
   * @example
   * const { records } = await spark.errors({ state: 'discarded' }, { limit: 20 });
   * for (const { handler, deliveries, last, error } of records) console.log(handler, deliveries, last.toISOString(), error);
   */
  async errors(filter: DeliveryRecordFilter = {}, page: PageRequest = {}): Promise<Page<ErrorRecord>> {
    this.checkStarted();
    const of = entityIn(this.spark, 'SparkService.errors', filter, DELIVERY_FILTER);
    return errorPage(this.spark, filter, of, page);
  }

  /**
   * Lists rechecks of entities, soonest first.
   *
   * @param filter Selects by entity and id, and the time at which they are due. Default: all.
   * @param page As in {@link events}.
   * @throws What {@link events} throws.
   *
   * @example
   * const { records } = await spark.rechecks({ to: addDays(new Date(), 1) });
   */
  async rechecks(filter: RecheckFilter = {}, page: PageRequest = {}): Promise<Page<RecheckRecord>> {
    this.checkStarted();
    const of = entityIn(this.spark, 'SparkService.rechecks', filter, RECHECK_FILTER);
    return recheckPage(this.spark, filter, of, page);
  }

  /**
   * Lists the handlers of all processes, with their patterns and limits, and counts their deliveries that are not completed, as in
   * {@link status}.
   *
   * @param request.countUpTo About how many deliveries are counted at most: see {@link HandlersRequest}. Default: all.
   * @throws InvalidOptionsError if `countUpTo` is not a whole number above 0.
   *
   * @example
   * for (const { handler, patterns, discarded } of await spark.handlers({ countUpTo: 1_000 })) console.log(handler, patterns, discarded);
   */
  async handlers({ countUpTo }: HandlersRequest = {}): Promise<HandlerStatus[]> {
    if (countUpTo !== undefined) positiveInteger('SparkService.handlers: countUpTo', countUpTo);
    return this.reading((manager) => handlersOf(manager, this.spark, this.spark.clock.now(), countUpTo));
  }

  /**
   * Lists the groups with held deliveries, with some of these. It reads at most about `countUpTo` held deliveries, and lists at most 100
   * groups.
   *
   * @param request.countUpTo How many held deliveries are counted at most. Default: 10,000.
   * @throws InvalidOptionsError if `countUpTo` is not a whole number above 0.
   *
   * @example
   * for (const { group, deliveries, sample } of await spark.held()) console.log(group, deliveries, sample[0]?.event.key);
   * await spark.release('challenge_ends_2d', { limit: 10 }); // the first ten
   */
  async held({ countUpTo = MOST_HELD }: HeldRequest = {}): Promise<HeldSample[]> {
    positiveInteger('SparkService.held: countUpTo', countUpTo);
    return this.reading((manager) => heldOf(manager, this.spark, countUpTo));
  }

  /**
   * Counts the events of the last hour and their deliveries, minute by minute. It counts at most 100,000 of each, by their ids. If there were
   * more, the first minutes are left out.
   *
   * @param request.within How far back, in ms or as text such as `'3h'`. Default: an hour. At most a day.
   * @throws InvalidOptionsError if `within` is not a duration of at most a day.
   *
   * @example
   * for (const { at, events, deliveries } of (await spark.rates()).minutes) console.log(at.toISOString(), events, deliveries);
   */
  async rates(request: RatesRequest = {}): Promise<SparkRates> {
    return this.reading((manager) => ratesOf(manager, this.spark, request));
  }

  /**
   * Lists the sweeps of each source, as in {@link status}.
   *
   * @example
   * const missed = (await spark.sources()).filter((source) => source.missed > 0);
   */
  async sources(): Promise<SourceStatus[]> {
    return this.reading((manager) => sourcesOf(manager, this.spark));
  }

  /**
   * Lists the processes that handle deliveries, as in {@link status}: until when the lease of each lasts, and how many deliveries it is
   * handling since when. `deliveries({ state: 'running' })` lists these.
   *
   * @example
   * for (const { host, pid, running, oldest } of await spark.workers()) console.log(host, pid, running, oldest?.toISOString());
   */
  async workers(): Promise<WorkerStatus[]> {
    return this.reading((manager) => workersOf(manager, this.spark));
  }

  /**
   * Counts what would happen now, or up to an instant, if no entity changed: how many events of each group a sweep would enter, how many
   * deliveries each handler would get, and whether these are held. It enters nothing and calls no handler. Use it before a deploy, to see
   * what the new code would send.
   *
   * It takes about as long as a sweep that finds nothing new, and runs the sources on 500 entities at a time, as a sweep does. It keeps
   * counts and samples, so its memory does not grow with the table. With `at`, it takes longer: it runs the sources again at each
   * instant at which something becomes true.
   *
   * @param options.summary `true`.
   * @param options.entity Only this entity, and all sources of its table. Default: all that have sources.
   * @param options.at The end of the plan. Default: now.
   * @param options.onProgress Called after each page with how many entities were read so far.
   * @param options.signal Ends the call between two pages: the call throws the signal's reason.
   * @returns The counts, with samples. An event that several entities share counts once, up to 100,000 such keys.
   * @throws NoSourceError if the entity has no source; InvalidOptionsError if an option is invalid, or `id` is given.
   *
   * @example
   * const { total, groups } = await spark.plan({ summary: true });
   * if (total.deliveries > 1_000) console.warn(groups);
   */
  plan(options: PlanSummaryOptions): Promise<PlanSummary>;
  /**
   * Yields what would happen now, or up to an instant, if no entity changed: the events that would be entered, the events that become
   * true later, and the rechecks that no event needs any more. It enters nothing and calls no handler.
   *
   * It runs the sources on 500 entities at a time, and reads the next ones meanwhile. The transactions that read the entities are read
   * only and rolled back; on SQLite, it reads without transactions. Up to the instant, it rechecks each entity whenever something becomes
   * true of it, and when sweeps are scheduled. It does not run handlers, which might change the entity. If no sweep is scheduled, and a
   * source yields events that become true with time but have no `at`, the plan reports the source as `unreliable`.
   *
   * @param options.entity Only this entity, and all sources of its table. Default: all that have sources.
   * @param options.id Only the entity of this id; the parts of a composite one in the order of its primary columns, or as an object.
   * @param options.at The end of the plan. Default: now.
   * @param options.onProgress Called after each page with how many entities were read so far.
   * @param options.signal Ends the plan between two pages: it throws the signal's reason.
   * @returns What would happen, in no order across pages. It reports a source that reads another clock than `scope.now` as `unreliable`,
   * and one that throws as `fail`.
   * @throws NoSourceError if the entity has no source; InvalidOptionsError if `at` is not a Date or is in the past; TypeError for an id
   * without an entity.
   *
   * @example
   * for await (const planned of spark.plan({ entity: Challenge, at: addDays(new Date(), 7) }))
   *   if (planned.outcome === 'enter') console.log(planned.at, planned.key, planned.handlers);
   */
  plan(options?: PlanOptions): AsyncGenerator<Planned>;
  plan(options: PlanOptions | PlanSummaryOptions = {}): AsyncGenerator<Planned> | Promise<PlanSummary> {
    return options.summary === true ? this.summarized(options) : this.planned(options);
  }

  /**
   * Explains one entity: the events that its sources yield now, its events in the ledger, their deliveries, its rechecks, and sentences
   * that say why something did or did not happen. It enters nothing.
   *
   * @param entity The entity class.
   * @param id Its id; the parts of a composite one in the order of its primary columns, or as an object.
   * @throws UnknownEntityError if the DataSource does not have the entity; TypeError if a part of the id is missing.
   *
   * @example
   * console.log((await spark.explain(Challenge, 7)).words.join('\n'));
   * // challenge_ended_7: it becomes true at 2026-06-03T12:00:00.000Z. The entity is rechecked then.
   * // challenge_created_7 was entered, found by ChallengeEvents.events, 2026-06-01T12:00:00.000Z.
   * // challenge_created_7 → challenge-mails: completed 2026-06-01T12:00:00.120Z, after 1 attempt, in 12 ms.
   */
  async explain(entity: EntityTarget<ObjectLiteral>, id: unknown): Promise<Explanation> {
    this.checkStarted();
    const metadata = metadataGiven(this.spark, 'SparkService.explain', entity);
    return explain(this.spark, metadata, keyGiven(this.spark, 'SparkService.explain', metadata, id));
  }

  /**
   * Opens deliveries of past events for a handler that is new, or that must do its work again. Events whose contexts `retention` or
   * `erase` has removed are delivered without a context. New deliveries come before all of these.
   *
   * @param replay.handler The handler's name. This process must have the handler.
   * @param replay.since Only events entered at this instant or later; the same as `from`. Default: all.
   * @param replay.repeat Whether deliveries that were completed, skipped or discarded are delivered again. Default: false.
   * @param replay The other parts select events, as in {@link events}. Default: all that the handler's pattern matches.
   * @param options Options for many events, and the priority of the deliveries: see {@link RedeliveryOptions}.
   * @returns How many deliveries were opened.
   * @throws UnknownHandlerError if this process has no such handler; UnknownHistoryError without `repeat` if `history` or `retention`
   * removes finished deliveries of the selected time, because then it is unknown which events the handler has had;
   * InvalidOptionsError for an invalid part or option; and what {@link events} throws.
   *
   * @example
   * await spark.replay({ handler: 'statistics', since: startOfYear(new Date()) });
   */
  async replay(replay: Replay, options: RedeliveryOptions = {}): Promise<number> {
    this.checkStarted();
    return this.administration.replay(replay, options);
  }

  /**
   * Lists deliveries that wait for handlers that no process has had for five minutes, because a handler was renamed or its module was
   * removed. They are kept until you bring the handler back, name it among the `aliases` of its successor, or discard them.
   *
   * @example
   * for (const { handler, deliveries } of await spark.orphans()) console.warn(`${deliveries} wait for ${handler}`);
   */
  async orphans(): Promise<Orphans[]> {
    const { admin, registered } = this.spark;
    return this.reading(async (manager) => admin.orphans(manager, await registered.gone(manager)));
  }

  private async *planned(options: PlanOptions): AsyncGenerator<Planned> {
    this.checkStarted();
    yield* plan(this.spark, planGiven(this.spark, options), options);
  }

  private async summarized(options: PlanSummaryOptions): Promise<PlanSummary> {
    this.checkStarted();
    return summarize(this.spark, planGiven(this.spark, options), options);
  }

  private async reading<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    this.checkStarted();
    return withRunner(this.spark.dataSource.manager, ({ manager }) => work(manager));
  }

  private reportTransaction(): void {
    const { counters, dataSource } = this.spark;
    if (!isInTransaction(dataSource)) return;
    const fate = isSerialized(dataSource)
      ? 'On SQLite its events are part of the transaction all the same'
      : 'Its events are entered even if the transaction is rolled back';
    counters.reportOnce(
      'emitsBesideTransaction',
      'emit',
      () =>
        `SparkService.emit was called within a transaction, without its manager. ${fate}, and events$ has them ` +
        `before it has ended. Call emit(events, { manager }) to enter them if and only if it commits.`,
    );
  }

  private enterWith(manager: EntityManager, entries: readonly LedgerEntry[]): void {
    const capture = manager.queryRunner && this.spark.subscriber.captureOf(manager.queryRunner);
    if (!capture) throw new NoTransactionError();
    capture.entries.push(...entries);
  }

  private entry(event: SparkEvent): LedgerEntry[] {
    const refuse = (reason: string) => {
      throw new InvalidEventError(reason, nameOf(event));
    };
    const reason = checkEvent(event);
    if (reason === NEVER) return [];
    if (reason !== undefined) return refuse(reason);
    const now = this.spark.clock.now();
    if ('trueFor' in event) return refuse('it has trueFor. Let a source yield it, which Spark can run again.');
    if (event.schedule) return refuse('it repeats. Let a source yield it, which can stop it.');
    if (event.until && event.until.getTime() <= now) return [];
    if (event.at && event.at.getTime() > now)
      return refuse('its at is in the future. Let a source yield it, which can take it back.');
    try {
      return [emitted(this.spark.codec, event, this.spark.interceptors.stamp)];
    } catch (error) {
      return refuse(messageOf(error));
    }
  }

  private checkStarted(): void {
    if (!this.lifecycle.started) throw new NotStartedError();
  }
}

const RECHECK_FILTER = ['from', 'to'];
