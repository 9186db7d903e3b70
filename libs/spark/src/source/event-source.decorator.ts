import type { EntityTarget, FindOptionsRelations, FindOptionsWhere, ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import { addMetadata } from '../common/decorator-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Duration } from '../config/spark.options.js';
import type { Touch } from './touch.js';

/** What a source gets besides the entity. */
export interface SourceScope {
  /** The instant for which Spark runs the source. Compare dates with it, never with `new Date()`. */
  readonly now: Date;
}

/** What a source may return: a generator, an async generator, an array of events, or a promise of an array. */
export type SourceOutput = Iterable<SparkEvent> | AsyncIterable<SparkEvent> | Promise<Iterable<SparkEvent>>;

/**
 * A class that is an event source as a whole.
 *
 * @example
 * @EventSource(Challenge)
 * @Injectable()
 * export class ChallengeEvents implements SparkSource<Challenge> {
 *   *events(challenge: Challenge) { yield sparkEvent('challenge_created', challenge.id, { challenge }); }
 * }
 */
export interface SparkSource<S> {
  events(subject: S, scope: SourceScope): SourceOutput;
}

/** What happens with events that were true before Spark knew the source: see {@link EventSourceOptions.history}. */
export type History = 'silent' | 'held' | 'deliver';

/** Options of an event source. */
export interface EventSourceOptions<E extends ObjectLiteral> {
  /** Relations to load. When a related entity is saved or removed, Spark rechecks the entities that it belongs to. Default: none. */
  relations?: FindOptionsRelations<E>;
  /**
   * Other entities that hold the id of the source's entity, without a relation in `relations`. When one of them is saved, moved or
   * removed, Spark rechecks the entity whose id it holds, and the one whose id it held before. Default: none.
   *
   * @example
   * touchedBy: [touch(Donation, (donation) => donation.challengeId)]
   */
  touchedBy?: readonly Touch[];
  /** Which entities the source is about. Spark does not read others. Default: all. */
  where?: FindOptionsWhere<E> | FindOptionsWhere<E>[];
  /** Whether Spark also reads soft-deleted entities. Default: false. */
  withDeleted?: boolean;
  /** Narrows the query, or joins what `relations` cannot express. The alias of the entity is `qb.alias`. Default: none. */
  query?: (qb: SelectQueryBuilder<E>) => SelectQueryBuilder<E>;
  /** Whether the source gets an array of up to 500 entities at once, so that it can count with one query. Default: false. */
  batch?: boolean;
  /**
   * How long one call of the source may take, for one entity or one batch. After that time, the source has failed for that entity or
   * batch. Spark ignores what it yields later, and runs it again. A source that does not wait is not interrupted. Default: the module's
   * `sources.timeout`, 30 seconds.
   */
  timeout?: Duration;
  /** Whether Spark captures saves as they happen. With `false`, only sweeps run the source. Default: the module's `live`. */
  live?: boolean;
  /**
   * Whether the source yields events with `trueFor`. Spark then rechecks an entity after each save, also if the source could run inside
   * the transaction, so that it sees when the source stops to yield such an event. Default: false.
   *
   * @example
   * @EventSource(Device, { trueFor: true })
   * *events(device: Device) {
   *   if (!device.isOnline) yield sparkEvent('offline', device.id, { device }, { trueFor: '15m' });
   * }
   */
  trueFor?: boolean;
  /**
   * What happens with events that were true before Spark knew the source, because its table has rows; also with those of a new group that a
   * sweep finds.
   *
   * - `silent`: Spark enters them, and no handler gets them.
   * - `held`: their deliveries are held. At the end of the first sweep they are released if they are at most `activation.limit` of a
   *   group; else they wait for `release` or `discard`.
   * - `deliver`: handlers get them.
   *
   * What a change makes true is delivered at once, whatever this says. If it is given, Spark sweeps the source once after the
   * boot, also if no sweep is scheduled. Default: `held`, by the next sweep.
   *
   * @example
   * @EventSource(Order, { history: 'silent' })
   */
  history?: History;
  /** The name of the DataSource. It is needed if the entity belongs to more than one DataSource with a SparkModule. */
  dataSource?: string;
  /** The name of the source, which the ledger stores with each event, and which log lines show. Default: `Class.method`. */
  name?: string;
  /**
   * Names that the source had before. Events in the ledger with these names belong to this source, and its sweeps continue those of
   * the old names. Default: none.
   */
  aliases?: readonly string[];
}

export interface SourceMetadata {
  entity: EntityTarget<ObjectLiteral>;
  options: EventSourceOptions<ObjectLiteral>;
}

export const EVENT_SOURCE = Symbol.for('nestjs-spark.event-source');

interface SourceDecorator<S> {
  <M extends (subject: S, scope: SourceScope) => SourceOutput>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<M>,
  ): void;
  (target: new (...args: any[]) => SparkSource<S>): void;
}

/**
 * Makes a method (or a class with a method `events`) an event source of an entity. A source is a function of the entity's present
 * state that yields the events that are true of it. Spark runs it whenever an entity may have changed, and in each sweep. It may yield
 * the same events again and again: each key enters the ledger once.
 *
 * A synchronous source without `relations`, `query` and `batch`, of an entity without eager relations, runs inside the transaction of
 * the change. All others run right after the commit.
 *
 * @param entity the entity class, or the name of an EntitySchema
 * @param options the options of the source
 * @throws NotAMethodError, StaticMethodError when it decorates something that Spark cannot call
 *
 * @example
 * @EventSource(Challenge, { relations: { donations: true } })
 * *events(challenge: Challenge, { now }: SourceScope) {
 *   if (challenge.donations.length > 0) yield sparkEvent('challenge_supported', challenge.id, { challenge });
 * }
 */
export function EventSource<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  options: EventSourceOptions<E> & { batch: true },
): SourceDecorator<E[]>;
export function EventSource<E extends ObjectLiteral>(
  entity: EntityTarget<E>,
  options?: EventSourceOptions<E> & { batch?: false },
): SourceDecorator<E>;
export function EventSource(entity: EntityTarget<ObjectLiteral>, options: object = {}): SourceDecorator<any> {
  return (target: object, key?: string | symbol) =>
    addMetadata(EVENT_SOURCE, 'EventSource', { entity, options }, target, key);
}
