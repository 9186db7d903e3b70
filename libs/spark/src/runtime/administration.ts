import type { EntityTarget, ObjectLiteral } from 'typeorm';
import type { SparkSettings } from '../config/spark.settings.js';
import { rootOf } from '../entity/entity-table.js';
import type { SubjectRef } from '../entity/subject-ref.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { UnknownHandlerError } from '../error/unknown-handler.error.js';
import { UnknownHistoryError } from '../error/unknown-history.error.js';
import { DELIVERIES } from '../notifier/notifier.js';
import { type BulkOptions, BulkRun, type RedeliveryOptions } from '../store/bulk-run.js';
import type { Replayed } from '../store/delivery-admin.js';
import type { Erased } from '../store/event-admin.js';
import type { All, DeliveryRecordFilter, EventFilter } from '../store/record-filter.js';
import { checkBulk, deliveriesGiven, eventsGiven } from './bulk.arguments.js';
import type { Spark } from './create-spark.js';
import { entityIn, EVENT_FILTER, keyGiven, metadataGiven } from './spark.arguments.js';

/** Selects the past events that a handler gets. */
export interface Replay extends EventFilter {
  /** The handler's name. This process must have the handler. */
  readonly handler: string;
  /** Another name of `from`. */
  readonly since?: Date;
  /** Whether deliveries that were completed, skipped or discarded are delivered again. Default: false. */
  readonly repeat?: boolean;
}

/** The options of calls that deliver again, besides those of all calls on many rows. */
const REDELIVERY = ['priority', 'limit'];

/** The calls on many deliveries or events. It checks their arguments, and works in chunks. */
export class Administration {
  constructor(private readonly spark: Spark) {}

  async retry(what: DeliveryRecordFilter | All, options: RedeliveryOptions): Promise<number> {
    checkBulk('SparkService.retry', options, REDELIVERY);
    const chosen = deliveriesGiven(this.spark, 'retry', what, true);
    return this.run(options, (run, now) => this.spark.admin.retry(run, chosen, now, options.priority));
  }

  /** Given the name of a group, it discards only held deliveries. */
  async discard(what: string | DeliveryRecordFilter | All, options: BulkOptions): Promise<number> {
    checkBulk('SparkService.discard', options);
    const filter = typeof what === 'string' ? { group: what, state: 'held' as const } : what;
    const chosen = deliveriesGiven(this.spark, 'discard', filter, false);
    return this.run(options, (run, now) => this.spark.admin.discard(run, chosen, now));
  }

  async release(what: string | DeliveryRecordFilter | All, options: RedeliveryOptions): Promise<number> {
    checkBulk('SparkService.release', options, REDELIVERY);
    const filter = typeof what === 'string' ? { group: what } : what;
    const chosen = deliveriesGiven(this.spark, 'release', filter, false);
    return this.run(options, (run, now) => this.spark.admin.release(run, chosen, now, options.priority));
  }

  async replay(replay: Replay, options: RedeliveryOptions): Promise<number> {
    checkBulk('SparkService.replay', options, REDELIVERY);
    const replayed = this.replayed(replay);
    return this.run(options, (run, now) => this.spark.admin.replay(run, replayed, now, options.priority));
  }

  async forgetEvents(what: EventFilter | All, options: BulkOptions): Promise<number> {
    checkBulk('SparkService.forget', options);
    const chosen = eventsGiven(this.spark, 'SparkService.forget', what);
    return this.run(options, (run) => this.spark.eventAdmin.forget(run, chosen));
  }

  async forgetEntity(entity: EntityTarget<ObjectLiteral>, id: unknown, options: BulkOptions): Promise<number> {
    checkBulk('SparkService.forget', options);
    const of = this.subject('SparkService.forget', entity, id);
    const { conditions, eventAdmin, transactions } = this.spark;
    // Conditions first: a recheck must not find that a forgotten event has lasted long enough.
    if (!options.dryRun)
      await transactions.run(async (manager) => {
        await eventAdmin.forgetRechecks(manager, of);
        await conditions.forget(manager, of);
      });
    return this.run(options, (run) => eventAdmin.forget(run, { filter: {}, of }));
  }

  async erase(entity: EntityTarget<ObjectLiteral>, id: unknown, options: BulkOptions): Promise<Erased> {
    checkBulk('SparkService.erase', options);
    const { clock, conditions, eventAdmin, transactions } = this.spark;
    const subject = this.subject('SparkService.erase', entity, id);
    const erased = await eventAdmin.erase(new BulkRun(transactions, options), subject, clock.now());
    if (!options.dryRun) await transactions.run((manager) => conditions.forget(manager, subject));
    return erased;
  }

  private async run(options: BulkOptions, work: (run: BulkRun, now: number) => Promise<void>): Promise<number> {
    const { clock, transactions } = this.spark;
    const run = new BulkRun(transactions, options, () => this.spark.signals.notify(DELIVERIES));
    await work(run, clock.now());
    return run.done;
  }

  private subject(method: string, entity: EntityTarget<ObjectLiteral>, id: unknown): SubjectRef {
    const metadata = metadataGiven(this.spark, method, entity);
    return { root: rootOf(metadata), id: keyGiven(this.spark, method, metadata, id) };
  }

  /** Throws UnknownHandlerError, UnknownHistoryError, and what entityIn throws. */
  private replayed(replay: Replay): Replayed {
    const { clock, handlers, registered, settings } = this.spark;
    const method = 'SparkService.replay';
    const of = entityIn(this.spark, method, replay, [...EVENT_FILTER, 'handler', 'since', 'repeat']);
    const { handler: called, since, repeat = false, ...events } = replay;
    if (since !== undefined && events.from !== undefined)
      throw new InvalidOptionsError(
        `${method} { since }`,
        since,
        'left out where there is a from, which means the same',
      );
    const filter = since === undefined ? events : { ...events, from: since };
    const handler = handlers.named(called);
    if (!handler) {
      const known = handlers.all().map(({ name }) => name);
      throw new UnknownHandlerError(called, known);
    }
    const { name, pattern, options, partitionBy } = handler;
    const kept = keptSince(settings, clock.now());
    if (!repeat && kept !== -Infinity && !((filter.from?.getTime() ?? 0) >= kept))
      throw new UnknownHistoryError(name, kept === Infinity ? undefined : new Date(kept));
    const { priority = 0 } = options;
    return {
      filter,
      of,
      name,
      names: registered.namesOf(name),
      matches: (group) => pattern.test(group),
      priority,
      partitionBy,
      repeat,
    };
  }
}

/** The instant from which on all finished deliveries are kept: -Infinity if all are, Infinity if none are. */
function keptSince({ history, retention }: SparkSettings, now: number): number {
  if (!history) return Infinity;
  return now - Math.min(retention.completed ?? Infinity, retention.discarded ?? Infinity);
}
