import type { Counters } from '../common/counters.js';
import { linesOf, shown } from '../error/text-of.js';
import { chainLink, inChainOf } from '../event/chain.js';
import { type EventMetadata, flawInMetadata, mergedMetadata } from '../event/event-metadata.js';
import type { SparkEvent } from '../event/spark-event.js';
import { type Around, type Hook, nested } from './around.js';
import type { InterceptedDelivery, InterceptedSource, SparkInterceptorHooks } from './spark-interceptor.decorator.js';

/** The names of the methods that an interceptor may have. */
export const HOOKS = ['metadata', 'aroundHandler', 'aroundSource', 'onRecorded', 'onKnown'] as const;

/** The interceptors of one SparkModule, nested once at boot. A method that no interceptor has is undefined, and costs nothing. */
export class Interceptors {
  private readonly all: { readonly name: string; readonly hooks: SparkInterceptorHooks }[] = [];
  /** Adds metadata to an event before it is entered. */
  stamp: ((event: SparkEvent) => SparkEvent) | undefined;
  aroundHandler: Around<InterceptedDelivery> | undefined;
  aroundSource: Around<InterceptedSource> | undefined;
  /** Calls `onRecorded` of all interceptors with events after their commit. It never throws. */
  onRecorded: ((events: readonly SparkEvent[]) => void) | undefined;
  /** Calls `onKnown` of all interceptors with events that were in the ledger already. It never throws. */
  onKnown: ((events: readonly SparkEvent[]) => void) | undefined;

  constructor(private readonly counters: Counters) {}

  /** Adds an interceptor inside of those that were added before. */
  add(name: string, hooks: SparkInterceptorHooks): void {
    this.all.push({ name, hooks });
    const metadata = this.hooks('metadata');
    this.stamp = metadata.length === 0 ? undefined : (event) => this.stamped(metadata, event);
    this.aroundHandler = nested<InterceptedDelivery>(this.hooks('aroundHandler'));
    this.aroundSource = nested<InterceptedSource>(this.hooks('aroundSource'));
    this.onRecorded = this.afterCommit(this.hooks('onRecorded'), 'the events are entered');
    this.onKnown = this.afterCommit(this.hooks('onKnown'), 'the events were entered before');
  }

  /** Counts and logs an error of an interceptor that fails neither an event nor an attempt. */
  report(where: string, outcome: string, error: unknown): void {
    const message = () => `${shown(where)} failed; ${outcome}. ${linesOf(error)}`;
    this.counters.report('failedInterceptors', where, message, { interceptor: where, error });
  }

  private hooks<N extends keyof SparkInterceptorHooks>(name: N): Hook<NonNullable<SparkInterceptorHooks[N]>>[] {
    return this.all.flatMap(({ name: of, hooks }) => {
      const method: SparkInterceptorHooks[keyof SparkInterceptorHooks] = hooks[name];
      if (!method) return [];
      return [{ where: `${of}.${name}`, call: method.bind(hooks) as NonNullable<SparkInterceptorHooks[N]> }];
    });
  }

  /** Returns the event with the metadata that interceptors add. One that fails adds nothing. */
  private stamped(hooks: readonly Hook<(event: SparkEvent) => unknown>[], event: SparkEvent): SparkEvent {
    let metadata = event.metadata;
    let added: EventMetadata = {};
    for (const { where, call } of hooks) {
      try {
        const given = (call(event) ?? undefined) as EventMetadata | undefined;
        const next = mergedMetadata(added, checked(given));
        metadata = checked(mergedMetadata(next, event.metadata));
        added = next;
      } catch (error) {
        this.report(where, `${shown(event.key)} is entered without the metadata that it adds`, error);
      }
    }
    return Object.keys(added).length === 0 ? event : withMetadata(event, metadata);
  }

  private afterCommit(
    hooks: readonly Hook<(events: readonly SparkEvent[]) => unknown>[],
    outcome: string,
  ): ((events: readonly SparkEvent[]) => void) | undefined {
    if (hooks.length === 0) return undefined;
    return (events) =>
      // Changes that an interceptor makes are one event further down the chain.
      inChainOf(chainLink(), () => {
        for (const { where, call } of hooks) {
          const run = async () => call(events);
          run().catch((error: unknown) => this.report(where, outcome, error));
        }
      });
  }
}

/** Returns the metadata. Throws if it cannot be stored. */
function checked(metadata: EventMetadata | undefined): EventMetadata | undefined {
  // Spark does not await a promise here, so its rejection is handled.
  if (metadata instanceof Promise) void metadata.catch(() => undefined);
  const flaw = flawInMetadata(metadata);
  if (flaw !== undefined) throw new TypeError(`The ${flaw}.`);
  return metadata;
}

// A spread copy would lose the prototype: an event may be an instance of a class.
function withMetadata({ group, key, context, at, until }: SparkEvent, metadata: EventMetadata | undefined): SparkEvent {
  return { group, key, context, ...(at && { at }), ...(until && { until }), metadata };
}
