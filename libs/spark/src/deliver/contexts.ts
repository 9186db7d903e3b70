import { SparkLog } from '../common/spark-log.js';
import { yieldToEventLoop, isBlocking } from '../common/event-loop.js';
import { lineOf } from '../error/text-of.js';
import { UnreadableContextError } from '../error/unreadable-context.error.js';
import type { ContextCodec } from '../event/context-codec.js';
import type { EntityRef } from '../event/entity-lookup.js';
import type { SourceRegistry } from '../source/source.registry.js';
import type { DataSourceEntities } from '../entity/entity-lookup.js';
import { rootOf } from '../entity/entity-table.js';
import type { Delivery } from '../store/deliveries.js';
import { EntityReads, type Need } from './entity-reads.js';
import type { SureReads } from './sure-reads.js';
import { NotKnownHere } from './undecided.js';

/** A context with its entities, as a handler gets it, and its references to rows that are gone. */
export interface ReadContext {
  readonly context: unknown;
  readonly missing: readonly EntityRef[];
}

const NOTHING: ReadContext = { context: undefined, missing: [] };

/** The contexts of deliveries that were claimed together. Each is ready as soon as its entities have been read. */
export interface Reading {
  /** Resolves when the entities of a delivery have been read, or reading them has failed; undefined if it has no context. */
  ended(delivery: Delivery): Promise<unknown> | undefined;
  /**
   * The context of a delivery, after `ended`.
   *
   * @throws NotKnownHere if this process lacks a class or source that the context needs; DatabaseAway, UnreadableContextError, ContextError
   */
  of(delivery: Delivery): ReadContext;
}

/**
 * Restores contexts. It reads their entities again, with the relations of the event's source. A context that cannot be read affects no
 * other.
 */
export class Contexts {
  private readonly logger = new SparkLog();

  constructor(
    private readonly codec: ContextCodec,
    private readonly entities: DataSourceEntities,
    private readonly sources: SourceRegistry,
    private readonly reads: SureReads,
  ) {}

  /** Begins to read the contexts of deliveries. It logs one line for all that cannot be read now. */
  read(deliveries: readonly Delivery[]): Reading {
    const reads = new EntityReads(this.reads, this.entities);
    const withContext = deliveries.filter(({ event }) => event.context !== null);
    const needs = new Map<Delivery, () => readonly Need[]>();
    const collected = this.collect(withContext, needs, reads);
    const run = async (delivery: Delivery) => {
      await collected;
      await reads.run(quietly(needs.get(delivery)!));
    };
    const running = new Map(withContext.map((delivery) => [delivery, run(delivery)]));
    if (running.size > 0) void this.warnOfWaiting([...running.values()]);
    const failed = new Map<Delivery, unknown>();
    return {
      ended: (delivery) => running.get(delivery)?.catch((error) => void failed.set(delivery, error)),
      of: (delivery) => {
        if (!running.has(delivery)) return NOTHING;
        if (failed.has(delivery)) throw failed.get(delivery);
        return this.decode(delivery, needs.get(delivery)!(), reads);
      },
    };
  }

  /** Collects what each delivery needs, before the first read. */
  private async collect(
    deliveries: readonly Delivery[],
    needs: Map<Delivery, () => readonly Need[]>,
    reads: EntityReads,
  ): Promise<void> {
    for (const delivery of deliveries) {
      while (isBlocking()) await yieldToEventLoop();
      const own = this.needsOf(delivery);
      needs.set(delivery, own);
      for (const need of quietly(own)) reads.want(need);
    }
  }

  private async warnOfWaiting(running: readonly Promise<void>[]): Promise<void> {
    const failed = (await Promise.allSettled(running)).filter(({ status }) => status === 'rejected');
    if (failed.length === 0) return;
    const [{ reason }] = failed as [PromiseRejectedResult];
    this.logger.warn(`${failed.length} deliveries wait, as their contexts cannot be read now: ${lineOf(reason)}`, {
      deliveries: failed.length,
      error: reason,
    });
  }

  private decode({ event }: Delivery, needs: readonly Need[], reads: EntityReads): ReadContext {
    const missing: EntityRef[] = [];
    const own = new Map<string, object | null>();
    for (const need of needs) {
      const read = reads.take(need);
      if ('error' in read) throw new UnreadableContextError(need.entity, need.id, read.error);
      if (!read.entity) missing.push(need);
      own.set(placeOf(need), read.entity);
    }
    return { context: this.codec.decode(event.context, (ref) => own.get(placeOf(ref))!), missing };
  }

  /** Returns a function that returns what a delivery needs, or throws the reason why that is unknown. */
  private needsOf({ event }: Delivery): () => readonly Need[] {
    try {
      const { references, classes } = this.codec.contents(event.context);
      const unknown = classes.find((type) => !this.entities.isKnown(type));
      if (unknown) throw new NotKnownHere('entity', unknown.entity);
      const needs = references.map((ref) => this.needOf(event, ref));
      return () => needs;
    } catch (error) {
      return () => {
        throw error;
      };
    }
  }

  private needOf({ source: name }: Delivery['event'], ref: EntityRef): Need {
    const source = name === null ? undefined : this.sources.named(name);
    // Without the source its relations are unknown, and the handler relies on them.
    if (name !== null && !source) throw new NotKnownHere('source', name);
    if (!source || rootOf(source.metadata) !== rootOf(this.entities.named(ref)!)) return ref;
    return { ...ref, relations: source.options.relations, withDeleted: source.options.withDeleted };
  }
}

const placeOf = ({ entity, table, id }: EntityRef): string => `${entity} ${table} ${id}`;

function quietly(needs: () => readonly Need[]): readonly Need[] {
  try {
    return needs();
  } catch {
    return [];
  }
}
