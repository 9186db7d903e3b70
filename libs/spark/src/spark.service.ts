import type { Observable } from 'rxjs';
import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm';
import type { DeliveryFilter, Orphans } from './delivery/delivery-desk.js';
import { entityName } from './error/entity-name.js';
import { InvalidEventError } from './error/invalid-event.error.js';
import { NoTransactionError } from './error/no-transaction.error.js';
import { NotStartedError } from './error/not-started.error.js';
import { UnknownHandlerError } from './error/unknown-handler.error.js';
import { UnknownEntityError } from './error/unknown-entity.error.js';
import { checkEvent, NEVER } from './event/event-check.js';
import type { SparkEvent } from './event/spark-event.js';
import type { LedgerEntry } from './ledger/ledger.js';
import { Derivation, entryOf, nameOf } from './pipeline/derivation.js';
import type { DeliveryReport } from './pipeline/worker.js';
import type { Spark } from './spark.js';
import { keyOf, rootOf, writeKey } from './subject/subject-ref.js';
import type { SweepProgress, SweepReport } from './trigger/sweep.js';

/** What an application calls. Inject it by its class; that of a named DataSource by `@InjectSpark('name')`. */
export class SparkService {
  /** Events that this process has entered, after their commit. A subscriber that throws ends the process, as everywhere in rxjs. */
  readonly events$: Observable<SparkEvent>;
  /** How each attempt to deliver in this process has ended. */
  readonly deliveries$: Observable<DeliveryReport>;
  /** How far sweeps of this process have come: after each page of 500 entities. */
  readonly sweeps$: Observable<SweepProgress>;

  constructor(
    private readonly spark: Spark,
    private readonly hasStarted: () => boolean,
  ) {
    this.events$ = spark.events.asObservable();
    this.deliveries$ = spark.worker.reports$;
    this.sweeps$ = spark.sweep.progress$;
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
    const { clock, codec, recorder, transactions } = this.spark;
    const now = clock.now();
    const derivation = new Derivation(codec, now);
    derivation.entries.push(...entries);
    const recorded = await transactions.run((manager) => recorder.enter(manager, derivation, now));
    this.spark.announce(recorded);
    return recorded.events;
  }

  /**
   * Goes through all entities that have sources, and enters what is new: what was written by raw SQL, by other programs,
   * or before Spark was there. Safe at any time and in any number of processes.
   *
   * @param options.entity Only the sources of this entity. Default: all.
   * @returns What it did, when it is done. `sweeps$` tells on the way.
   * @throws UnknownEntityError when the entity has no source.
   *
   * @example
   * const { subjects, entered } = await spark.sweep();
   */
  async sweep(options: { entity?: EntityTarget<ObjectLiteral> } = {}): Promise<SweepReport> {
    this.checkStarted();
    const { sweep, sources } = this.spark;
    if (options.entity === undefined) return sweep.run();
    const metadata = this.metadataOf('SparkService.sweep', options.entity);
    if (!sources.all().some((source) => source.metadata === metadata))
      throw new UnknownEntityError('SparkService.sweep', metadata.name);
    return sweep.run((source) => source.metadata === metadata);
  }

  /**
   * Works until no look is due and no delivery is available any more, whether or not this process has a worker. For
   * tests and scripts. Deliveries that wait for their next attempt are not waited for.
   *
   * @example
   * await challenges.save(challenge);
   * await spark.drain();
   * expect(outbox).toHaveLength(1);
   */
  async drain(): Promise<void> {
    this.checkStarted();
    await this.spark.drain();
  }

  /**
   * Forgets an entity: its events, their deliveries, its looks. What is true of it is then news again. For data that has
   * to be erased, and for ids that are used again.
   *
   * @param entity The entity class.
   * @param id Its id; the parts of a composite one in the order of its primary columns, or as an object.
   * @throws UnknownEntityError when the DataSource does not know the entity.
   *
   * @example
   * await spark.forget(Challenge, challenge.id);
   */
  async forget(entity: EntityTarget<ObjectLiteral>, id: unknown): Promise<void> {
    this.checkStarted();
    const { dataSource, ledger, transactions } = this.spark;
    const metadata = this.metadataOf('SparkService.forget', entity);
    const root = rootOf(metadata);
    const { driver } = dataSource;
    const isMap = typeof id === 'object' && id !== null && !Array.isArray(id);
    const values = metadata.primaryColumns.map(
      (column, i) => driver.preparePersistentValue(Array.isArray(id) ? id[i] : id, column) as unknown,
    );
    const key = isMap ? keyOf(dataSource, metadata, id) : writeKey(values);
    if (key === undefined) throw new TypeError(`SparkService.forget needs every part of the id of ${metadata.name}.`);
    const names = [root, ...root.childEntityMetadatas].map(({ name }) => name);
    await transactions.run((manager) => ledger.forget(manager, { root, id: key }, names));
  }

  /**
   * Makes discarded deliveries available again, with all their attempts.
   *
   * @param filter Which ones: by handler, group or key. Default: all that are discarded.
   * @returns How many.
   *
   * @example
   * await spark.retry({ handler: 'challenge-mails' });
   */
  async retry(filter: DeliveryFilter = {}): Promise<number> {
    return this.atDesk((manager, now) => this.spark.desk.retry(manager, filter, now));
  }

  /**
   * Gives up deliveries that nobody is handling at the moment.
   *
   * @param filter Which ones: by handler, group or key.
   * @returns How many.
   *
   * @example
   * await spark.discard({ group: 'challenge_ends_2d' });
   */
  async discard(filter: DeliveryFilter): Promise<number> {
    return this.atDesk((manager, now) => this.spark.desk.discard(manager, filter, now));
  }

  /**
   * Opens deliveries of past events for a handler that is new, or has to do its work again.
   *
   * @param replay.handler The handler's name; this process must have it.
   * @param replay.group Only events of this group. Default: of all that the handler's pattern matches.
   * @param replay.since Only events entered since. Default: all.
   * @param replay.repeat Whether deliveries that were completed or discarded are done once more. Default: false.
   * @returns How many deliveries were opened.
   * @throws UnknownHandlerError when this process has no such handler.
   *
   * @example
   * await spark.replay({ handler: 'statistics', since: startOfYear(new Date()) });
   */
  async replay(replay: { handler: string; group?: string; since?: Date; repeat?: boolean }): Promise<number> {
    const { desk, handlers } = this.spark;
    const handler = handlers.named(replay.handler);
    if (!handler) {
      const known = handlers.all().map(({ name }) => name);
      throw new UnknownHandlerError(replay.handler, known);
    }
    const { name, pattern, options } = handler;
    const whom = { name, priority: options.priority ?? 0, matches: (group: string) => pattern.test(group) };
    const what = { group: replay.group, since: replay.since?.getTime() ?? 0, repeat: replay.repeat ?? false };
    return this.atDesk((manager, now) => desk.replay(manager, whom, what, now));
  }

  /**
   * Deliveries that wait for handlers which no process has had for `handlerExpiry`: renamed ones, or modules that are gone.
   * They are kept; bring the handler back, or discard them.
   *
   * @example
   * for (const { handler, deliveries } of await spark.orphans()) console.warn(`${deliveries} wait for ${handler}`);
   */
  async orphans(): Promise<Orphans[]> {
    const { desk, settings } = this.spark;
    return this.atDesk((manager, now) => desk.orphans(manager, now - settings.handlerExpiry));
  }

  private async atDesk<T>(work: (manager: EntityManager, now: number) => Promise<T>): Promise<T> {
    this.checkStarted();
    const { clock, transactions, workerTicker } = this.spark;
    const result = await transactions.run((manager) => work(manager, clock.now()));
    workerTicker.pulse();
    return result;
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
    if (event.at && event.at.getTime() > this.spark.clock.now())
      return refuse('its at lies in the future. Let a source yield it, which can take it back.');
    try {
      return [entryOf(this.spark.codec, event)];
    } catch (error) {
      return refuse((error as Error).message);
    }
  }

  private metadataOf(where: string, entity: EntityTarget<ObjectLiteral>) {
    const { dataSource } = this.spark;
    if (dataSource.hasMetadata(entity)) return dataSource.getMetadata(entity);
    throw new UnknownEntityError(where, entityName(entity));
  }

  private checkStarted(): void {
    if (!this.hasStarted()) throw new NotStartedError();
  }
}
