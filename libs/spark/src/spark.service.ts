import type { Observable } from 'rxjs';
import { types } from 'node:util';
import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm';
import type { BulkOptions, RedeliveryOptions } from './store/bulk-run.js';
import type { Orphans } from './store/delivery-admin.js';
import type { Erased } from './store/event-admin.js';
import { InvalidEventError } from './error/invalid-event.error.js';
import { InvalidOptionsError } from './error/invalid-options.error.js';
import { NoTransactionError } from './error/no-transaction.error.js';
import { NotStartedError } from './error/not-started.error.js';
import { messageOf } from './error/wording.js';
import { checkEvent, NEVER } from './event/event-check.js';
import type { SparkEvent } from './event/spark-event.js';
import { DrainWithinError } from './error/drain-within.error.js';
import { waitingCall } from './event/waited-for.js';
import type { LedgerEntry } from './store/ledger.js';
import { Derivation, emitted, nameOf } from './record/derivation.js';
import type { DeliveryReport } from './deliver/settler.js';
import type { Spark } from './runtime/create-spark.js';
import { drain } from './runtime/drain.js';
import type { SparkLifecycle } from './runtime/spark.lifecycle.js';
import { isInTransaction } from './database/present-transaction.js';
import { isSerialized } from './database/sqlite/sqlite-serializer.js';
import { withRunner } from './database/statement.js';
import { attemptsOf, errorPage } from './inspect/errors.js';
import type { All, DeliveryRecordFilter, EventFilter, RecheckFilter } from './store/record-filter.js';
import { explain } from './inspect/explain.js';
import type { Explanation } from './inspect/explanation.js';
import { plan } from './inspect/plan.js';
import type { Planned } from './inspect/planned.js';
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
import {
  handlersOf,
  type HandlerStatus,
  sourcesOf,
  type SourceStatus,
  type SparkStatus,
  statusOf,
  workersOf,
  type WorkerStatus,
} from './inspect/status.js';
import { Administration, type Replay } from './runtime/administration.js';
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
import type { SweepProgress, SweepReport } from './sweep/sweep.js';

/** What is to be planned. */
export interface PlanOptions {
  /** Only this entity, and all sources of its table. Default: all that have sources. */
  entity?: EntityTarget<ObjectLiteral>;
  /** Only the entity of this id. Default: all. */
  id?: unknown;
  /** Up to when. Default: now. */
  at?: Date;
}

/**
 * What an application calls. Inject it by its class; that of a named DataSource by `@InjectSpark('name')`. Its methods throw
 * NotStartedError before the application has been initialised.
 *
 * @example
 * constructor(private readonly spark: SparkService) {}
 */
export class SparkService {
  /** Events that this process has entered, after their commit. A subscriber that throws ends the process, as everywhere in rxjs. */
  readonly events$: Observable<SparkEvent>;
  /** How each attempt to deliver in this process has ended. */
  readonly deliveries$: Observable<DeliveryReport>;
  /** How far sweeps of this process have come: after each page of 500 entities. */
  readonly sweeps$: Observable<SweepProgress>;
  private readonly administration: Administration;

  constructor(
    private readonly spark: Spark,
    private readonly lifecycle: SparkLifecycle,
  ) {
    this.events$ = spark.recorded.stream.asObservable();
    this.deliveries$ = spark.settler.reports$;
    this.sweeps$ = spark.sweep.progress$;
    this.administration = new Administration(spark);
  }

  /**
   * Enters events that no entity's state tells of, such as "mail bounced". Their keys pass once like all others.
   *
   * @param events One event or several. An `at` in the future is refused: no source could take it back.
   * @returns Those that were new, committed.
   * @throws InvalidEventError when one of them cannot be entered; then none is.
   *
   * @example
   * const [isNew] = await spark.emit(sparkEvent('mail_bounced', bounce.id, { address }));
   */
  async emit(events: SparkEvent | readonly SparkEvent[]): Promise<SparkEvent[]>;
  /**
   * Enters events just before a transaction under way commits: they exist if and only if it does.
   *
   * @param events One event or several.
   * @param options.manager The manager of the transaction.
   * @throws InvalidEventError when one of them cannot be entered; NoTransactionError when the manager has no transaction.
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
   * Goes through all entities that have sources, and enters what is new: what was written by raw SQL, by other programs,
   * or before Spark was there. Safe at any time and in any number of processes: one at a time sweeps a source.
   *
   * A source that another process is sweeping at the moment is left to it, and counted as `elsewhere`. Where a sweep was killed
   * half-way, this one goes on there, and then from the start to there, so that everything present was looked at.
   *
   * The first sweep in which a source yields a group holds the deliveries of what it finds. At its end they are made, if they
   * are at most `activation.limit`; more wait for `release` or `discard`.
   *
   * @param options.entity Only the sources of this entity. Default: all.
   * @returns What it did, when it is done. `sweeps$` tells on the way.
   * @throws NoSourceError when the entity has no source.
   *
   * @example
   * const { subjects, entered } = await spark.sweep();
   */
  async sweep(options: { entity?: EntityTarget<ObjectLiteral> } = {}): Promise<SweepReport> {
    this.checkStarted();
    const { sweep } = this.spark;
    if (options.entity === undefined) return sweep.run();
    return sweep.run(sourcesGiven(this.spark, 'SparkService.sweep', options.entity));
  }

  /**
   * Works until no recheck is due and no delivery is available any more, whether or not this process has a worker. For
   * tests and scripts. Deliveries that wait for their next attempt, and what another process is at, are not waited for.
   *
   * @throws DrainWithinError when a source or a handler calls it, and would wait for itself.
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
   * Forgets an entity: its events, their deliveries, its rechecks. What is true of it is then news again. For ids that are used
   * again; {@link erase} is for personal data of an entity whose events are not to happen again.
   *
   * @param entity The entity class.
   * @param id Its id; the parts of a composite one in the order of its primary columns, or as an object.
   * @param options How it goes about many events: see {@link BulkOptions}.
   * @returns How many events.
   * @throws UnknownEntityError when the DataSource does not know the entity; TypeError when a part of the id is missing.
   *
   * @example
   * await spark.forget(Challenge, challenge.id);
   */
  async forget(entity: EntityTarget<ObjectLiteral>, id: unknown, options?: BulkOptions): Promise<number>;
  /**
   * Forgets events, with all their deliveries: their keys are news again. Rechecks stay. What a handler is at work on at the moment
   * is forgotten, too; the handler goes on.
   *
   * @param filter Which ones, as in {@link events}; `{ all: true }` means all, and an empty filter is refused.
   * @param options How it goes about many events: see {@link BulkOptions}.
   * @returns How many events.
   * @throws InvalidOptionsError for a part of the filter or options that cannot be; and what {@link events} throws.
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
   * Erases what Spark holds of an entity's data: the contexts and metadata of its events, with the snapshots in them, the errors of
   * their deliveries, and their failed attempts. Deliveries that wait or are held are discarded for the reason `erased`, as their
   * context is gone; `retry` leaves them alone. The events stay with their keys, group, source, entity, id and times, so that
   * nothing happens again. Delete or anonymise the row first: what is saved of it later is recorded as ever.
   *
   * It goes by the entity that a source yielded the event of. Events of other entities whose contexts hold its values, and those of
   * `emit`, are not found: see {@link forget} for these.
   *
   * @param entity The entity class.
   * @param id Its id; the parts of a composite one in the order of its primary columns, or as an object.
   * @param options How it goes about many events: see {@link BulkOptions}.
   * @returns How many events were erased and deliveries discarded; and how many events a handler is at work on at the moment, which
   * keep their data. Where `running` is above 0, call it again when the handlers have ended.
   * @throws UnknownEntityError when the DataSource does not know the entity; TypeError when a part of the id is missing;
   * InvalidOptionsError for an option that cannot be.
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
   * Begins with rechecks, deliveries and scheduled sweeps, where `autoStart` is `false` or `pause` was called. Otherwise nothing
   * happens. Under a `TestClock` nothing runs by itself.
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
   * Ends rechecks, deliveries and scheduled sweeps of this process until `start` is called: what is under way ends, and nothing new
   * begins. A sweep ends at its next page; the next one goes on there. Live capture records all the same, other processes go on,
   * and `drain` and `sweep` do what they are called for.
   *
   * @returns When handlers and sources that were running have ended. Give handlers a `timeout`, so that this is not for ever.
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
   * Pauses a handler in all processes, until `resumeHandler`: its deliveries stay available and wait, retries that are due
   * included, and events open deliveries for it all the same. It holds for the handler's former names, its `aliases`, too, and
   * lasts through restarts and deploys. `pause`, in contrast, ends all work of one process.
   *
   * What has begun goes on to its end: `deliveries({ handler, state: 'running' })` lists it.
   *
   * @param name The handler's name, or a former one. This process need not have it.
   * @returns When no process begins another attempt. Where it is paused already, nothing changes.
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
   * Ends what `pauseHandler` has begun: all processes go on with the handler's deliveries at once. On MariaDB and MySQL the others
   * go on at their next poll, after a second at most.
   *
   * @param name The handler's name, or a former one. One that is not paused is left as it is.
   * @throws UnknownHandlerError when no process has ever registered such a handler.
   *
   * @example
   * await spark.resumeHandler('challenge-mails');
   */
  async resumeHandler(name: string): Promise<void> {
    const names = await this.reading((manager) => handlerNamesGiven(this.spark, manager, name));
    await this.spark.handlerPauses.resume(names);
    this.spark.signals.notify({ rechecks: false, deliveries: true });
  }

  /**
   * Makes discarded deliveries available again, with all their attempts; not those of a baseline, those that were held, and erased
   * ones. Those that wait for their next try are due at once. What is new meanwhile comes before all of these.
   *
   * @param filter Which ones, as in {@link deliveries}. Default: all that are discarded or wait.
   * @param options How it goes about many deliveries, and their priority: see {@link RedeliveryOptions}.
   * @returns How many.
   * @throws InvalidOptionsError for a part of the filter or options that cannot be, or a `state` that is neither `discarded` nor
   * `available`; and what {@link deliveries} throws.
   *
   * @example
   * await spark.retry({ handler: 'challenge-mails', error: 'ECONNREFUSED' });
   */
  async retry(filter: DeliveryRecordFilter | All = {}, options: RedeliveryOptions = {}): Promise<number> {
    this.checkStarted();
    return this.administration.retry(filter, options);
  }

  /**
   * Gives up what is held of a group, as the counterpart of `release`; or, by a filter, all that nobody is handling at the
   * moment, what waits and what is held. `retry` leaves those alone that were held: they were history.
   *
   * @param what The name of the group of which what is held is given up; or which ones, as in {@link deliveries}; `{ all: true }`
   * means all, and an empty filter is refused.
   * @param options How it goes about many deliveries: see {@link BulkOptions}.
   * @returns How many.
   * @throws InvalidOptionsError for a part of the filter or options that cannot be, an empty filter, or a `state` that is neither
   * `available` nor `held`; and what {@link deliveries} throws.
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
   * Delivers what is held: what the first sweep of a group found, where that was more than `activation.limit`.
   *
   * @param what The group's name; or which ones, as in {@link deliveries}; `{ all: true }` means all, and an empty filter is refused.
   * What a first sweep that is still under way finds after this call is held again.
   * @param options How it goes about many deliveries, and their priority: see {@link RedeliveryOptions}.
   * @returns How many deliveries are available now.
   * @throws InvalidOptionsError for a part of the filter or options that cannot be, an empty filter, or a `state` other than `held`;
   * and what {@link deliveries} throws.
   *
   * @example
   * for (const { group } of (await spark.status()).held) await spark.release(group);
   */
  async release(what: string | DeliveryRecordFilter | All, options: RedeliveryOptions = {}): Promise<number> {
    this.checkStarted();
    return this.administration.release(what, options);
  }

  /**
   * Takes what is true of an entity's rows now for known, so that nobody hears of it: for adding Spark, or a source, to an
   * old table. It sweeps the entity from the start; the events it enters have their deliveries discarded at once, for the reason
   * `baseline`, and so have those that were held. `replay` with `repeat` delivers them after all, `retry` leaves them alone.
   * Call it before the first sweep of the schedule, which delivers up to `activation.limit` of each group.
   *
   * @param entity The entity class.
   * @returns What the sweep did. Where `elsewhere` is above 0, another process is sweeping at the moment: call it again.
   * @throws NoSourceError when the entity has no source.
   *
   * @example
   * const { entered } = await spark.baseline(Order);
   */
  async baseline(entity: EntityTarget<ObjectLiteral>): Promise<SweepReport> {
    this.checkStarted();
    return this.spark.sweep.run(sourcesGiven(this.spark, 'SparkService.baseline', entity), { baseline: true });
  }

  /**
   * Whether all is well, in one object: what sweeps found and live capture missed, what is held, how many deliveries are in
   * which state, what is due, who works.
   *
   * It costs about a dozen reads. They count what is under way, held or discarded, by indexes of these alone; completed
   * deliveries are not counted, as that would read the whole table.
   *
   * @returns What is so at the moment, of all processes; `running` and `counts` tell of this process alone.
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
   * Lists events of the ledger, the latest first.
   *
   * @param filter Which ones: by key, the beginning of the key, group, entity and id, source, and the time at which they were
   * entered. Default: all.
   * @param page.limit How many, 1 to 1,000. Default: 100.
   * @param page.after The `next` of the page before. Default: the first page.
   * @param page.countUpTo Counts all that the filter means, up to so many. Default: it does not count.
   * @throws InvalidOptionsError for a part of the filter or page that cannot be; UnknownEntityError when the DataSource does not
   * know the entity; TypeError for an id without an entity, or that is none of the entity.
   *
   * @example
   * const { records, next } = await spark.events({ entity: Challenge, id: 7 }, { limit: 20 });
   * for (const { key, recorded } of records) console.log(recorded.toISOString(), key);
   */
  async events(filter: EventFilter = {}, page: PageRequest = {}): Promise<Page<EventRecord>> {
    this.checkStarted();
    const of = entityIn(this.spark, 'SparkService.events', filter, EVENT_FILTER);
    return eventPage(this.spark, filter, of, page);
  }

  /**
   * Lists deliveries, those of the latest events first.
   *
   * @param filter Which ones: as in {@link events}, and by number, handler, state, a part of the text of the last error, and its
   * fingerprint. Default: all.
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
   * The attempts of a delivery that failed, the oldest first: the latest 20. They stay as long as the delivery. Of an attempt whose
   * process died, and of one that threw `RetryLater` or was given back, nothing is kept.
   *
   * @param deliveryId The id of the delivery, as in `DeliveryRecord.id` and `HandlerScope.deliveryId`.
   * @returns None where the delivery never failed, and where it is not there.
   * @throws InvalidOptionsError for what cannot be the id of a delivery.
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
   * Lists the kinds of errors of deliveries that wait for their next try or are discarded: one record for each fingerprint and
   * handler, that which came last first. It reads all of these deliveries and their failed attempts.
   *
   * @param filter Which deliveries count, as in {@link deliveries}. Default: all.
   * @param page As in {@link events}.
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
   * Lists the entities that are rechecked, the soonest first.
   *
   * @param filter Which ones: by entity and id, and the time at which they are due. Default: all.
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
   * What each handler has still to do, as in {@link status}.
   *
   * @example
   * for (const { handler, discarded } of await spark.handlers()) console.log(handler, discarded);
   */
  async handlers(): Promise<HandlerStatus[]> {
    return this.reading((manager) => handlersOf(manager, this.spark, this.spark.clock.now()));
  }

  /**
   * What sweeps have done for each source, as in {@link status}.
   *
   * @example
   * const missed = (await spark.sources()).filter((source) => source.missed > 0);
   */
  async sources(): Promise<SourceStatus[]> {
    return this.reading((manager) => sourcesOf(manager, this.spark));
  }

  /**
   * The processes that handle deliveries, as in {@link status}.
   *
   * @example
   * console.log(`${(await spark.workers()).length} processes work`);
   */
  async workers(): Promise<WorkerStatus[]> {
    return this.reading((manager) => workersOf(manager, this.spark));
  }

  /**
   * Says what would happen if nobody changed anything, now or up to an instant: which events would be entered, which are
   * still to come, and which rechecks nothing comes of any more. Nothing is entered and nobody is called.
   *
   * Sources run as ever, a page of 500 entities at a time, read in transactions that are read only (but on SQLite) and rolled
   * back. Up to an instant, each entity is looked at whenever something becomes true of it, and when sweeps run by their
   * schedule; handlers, which might change it, are not run. Where no sweep is scheduled and a source yields what only time makes
   * true, without an `at`, that is told as `unreliable`.
   *
   * @param options.entity Only this entity, and all sources of its table. Default: all that have sources.
   * @param options.id Only the entity of this id; the parts of a composite one in the order of its primary columns, or as an object.
   * @param options.at Up to when. Default: now.
   * @returns What would happen, in no order across pages; what a source asks of another clock than `scope.now`, and what it
   * throws, is told as `unreliable` and `fail`.
   * @throws NoSourceError when the entity has no source; InvalidOptionsError when `at` is no Date or lies in the past;
   * TypeError for an id without an entity.
   *
   * @example
   * for await (const planned of spark.plan({ entity: Challenge, at: addDays(new Date(), 7) }))
   *   if (planned.outcome === 'enter') console.log(planned.at, planned.key, planned.handlers);
   */
  async *plan(options: PlanOptions = {}): AsyncGenerator<Planned> {
    this.checkStarted();
    const { entity, id, at } = options;
    const now = this.spark.clock.now();
    if (at !== undefined && !(types.isDate(at) && at.getTime() >= now))
      throw new InvalidOptionsError('SparkService.plan at', at, 'a Date that is not past');
    if (entity === undefined && id !== undefined) throw new TypeError('SparkService.plan needs the entity of the id.');
    if (entity !== undefined) sourcesGiven(this.spark, 'SparkService.plan', entity);
    const metadata = entity && metadataGiven(this.spark, 'SparkService.plan', entity);
    const key = metadata && id !== undefined ? keyGiven(this.spark, 'SparkService.plan', metadata, id) : undefined;
    const entities = metadata ? [metadata] : this.spark.sources.roots();
    yield* plan(this.spark, { entities, id: key, now, end: at?.getTime() ?? now });
  }

  /**
   * Explains one entity: what its sources say of it now, what the ledger and the rechecks have, what became of the
   * deliveries, and in words why something did or did not happen. Nothing is entered.
   *
   * @param entity The entity class.
   * @param id Its id; the parts of a composite one in the order of its primary columns, or as an object.
   * @throws UnknownEntityError when the DataSource does not know the entity; TypeError when a part of the id is missing.
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
   * Opens deliveries of past events for a handler that is new, or has to do its work again. Events whose contexts `retention` or
   * `erase` has removed are delivered without. What is new meanwhile comes before all of these.
   *
   * @param replay.handler The handler's name; this process must have it.
   * @param replay.since Only events entered since; the same as `from`. Default: all.
   * @param replay.repeat Whether deliveries that were completed, skipped or discarded are done once more. Default: false.
   * @param replay The rest says which events, as in {@link events}. Default: all that the handler's pattern matches.
   * @param options How it goes about many events, and the priority of the deliveries: see {@link RedeliveryOptions}.
   * @returns How many deliveries were opened.
   * @throws UnknownHandlerError when this process has no such handler; UnknownHistoryError without `repeat` where finished deliveries
   * are not kept, by `history` or `retention`, for as long as is asked for: it cannot be known what the handler has had;
   * InvalidOptionsError for a part or an option that cannot be; and what {@link events} throws.
   *
   * @example
   * await spark.replay({ handler: 'statistics', since: startOfYear(new Date()) });
   */
  async replay(replay: Replay, options: RedeliveryOptions = {}): Promise<number> {
    this.checkStarted();
    return this.administration.replay(replay, options);
  }

  /**
   * Deliveries that wait for handlers which no process has had for five minutes: renamed ones, or modules that are gone. They are
   * kept: bring the handler back, name it among the `aliases` of the one that took its place, or discard them.
   *
   * @example
   * for (const { handler, deliveries } of await spark.orphans()) console.warn(`${deliveries} wait for ${handler}`);
   */
  async orphans(): Promise<Orphans[]> {
    const { admin, registered } = this.spark;
    return this.reading(async (manager) => admin.orphans(manager, await registered.gone(manager)));
  }

  private async reading<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    this.checkStarted();
    return withRunner(this.spark.dataSource.manager, ({ manager }) => work(manager));
  }

  private reportTransaction(): void {
    const { counters, dataSource } = this.spark;
    if (!isInTransaction(dataSource)) return;
    const fate = isSerialized(dataSource)
      ? 'On SQLite they are part of it all the same'
      : 'They are entered even if it is rolled back';
    counters.reportOnce(
      'emitsBesideTransaction',
      'emit',
      () =>
        `SparkService.emit was called within a transaction, without its manager. ${fate}, and who listens to events$ hears of ` +
        `them before it has ended. Give it the manager, emit(events, { manager }), to have them if and only if it commits.`,
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
    if (event.until && event.until.getTime() <= now) return [];
    if (event.at && event.at.getTime() > now)
      return refuse('its at lies in the future. Let a source yield it, which can take it back.');
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
