import type { EntityTarget, FindOptionsRelations, FindOptionsWhere, ObjectLiteral, SelectQueryBuilder } from 'typeorm';
import { addMetadata } from '../common/decorator-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Duration } from '../config/spark.options.js';
import type { Touch } from './touch.js';

/** What a source is told besides the entity. */
export interface SourceScope {
  /** The instant that the source is run for. Compare dates with this one, never with `new Date()`. */
  readonly now: Date;
}

/** What a source may give: events, by a generator, an async generator, an array, or a promise of one. */
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

/** How the entities of a source are read. */
export interface EventSourceOptions<E extends ObjectLiteral> {
  /** Relations to load. A saved or removed related entity makes the source recheck the entities it belongs to. */
  relations?: FindOptionsRelations<E>;
  /**
   * Entities that name the source's one without a relation in `relations`: saving, moving or removing them makes the
   * source recheck the entities that they name and named. Default: none.
   *
   * @example
   * touchedBy: [touch(Donation, (donation) => donation.challengeId)]
   */
  touchedBy?: readonly Touch[];
  /** Which entities the source is about; others are not read. Default: all. */
  where?: FindOptionsWhere<E> | FindOptionsWhere<E>[];
  /** Whether soft-deleted entities are read too. Default: false. */
  withDeleted?: boolean;
  /** Narrows the query or joins what `relations` cannot express. The alias of the entity is `qb.alias`. */
  query?: (qb: SelectQueryBuilder<E>) => SelectQueryBuilder<E>;
  /** Whether the source is given an array of up to 500 entities at once, so that it can count by one query. Default: false. */
  batch?: boolean;
  /**
   * How long one call of the source may take: for one entity, or for one batch. Then it has failed for these, and is run again
   * for them later; what it gives after that is ignored. A source that does not wait is not interrupted. Default: the module's `sources.timeout`, 30 seconds.
   */
  timeout?: Duration;
  /** Whether saves are captured as they happen; `false` leaves the source to the sweep. Default: the module's `live`. */
  live?: boolean;
  /** The name of the DataSource, where more than one with a SparkModule knows the entity. */
  dataSource?: string;
  /** The name that the ledger keeps with each event, and that logs show. Default: `Class.method`. */
  name?: string;
  /**
   * Names that the source had before. Events that the ledger keeps under them are this source's, and its sweeps go on from theirs.
   * Default: none.
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
 * Makes a method (or a class with a method `events`) the source of an entity's events: a function of the entity's
 * present state that says which events are true of it. It is run whenever an entity may have changed and by each sweep,
 * and may give the same events again and again: each key enters the ledger once.
 *
 * @param entity The entity class, or the name of an EntitySchema.
 * @param options How its entities are read. A synchronous source without `relations`, `query` and `batch`, of an entity without
 *   eager relations, runs inside the transaction of the change, all others right after it has committed.
 * @throws NotAMethodError, StaticMethodError when it decorates something that cannot be called.
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
