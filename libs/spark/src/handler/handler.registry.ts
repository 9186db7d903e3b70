import { DuplicateHandlerError } from '../error/duplicate-handler.error.js';
import type { EventDefinition } from '../event/event-definition.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Batch } from './batch-settings.js';
import type { BatchScope } from './batch.js';
import type { FleetLimits } from './fleet-limits.js';
import type { BatchHandlerOptions, GroupHandlerOptions, HandlerScope } from './group-handler.decorator.js';

/** A handler of the application, as the explorer found it. */
export interface Handler {
  readonly name: string;
  readonly where: string;
  readonly pattern: RegExp;
  readonly options: GroupHandlerOptions | BatchHandlerOptions;
  /** How long a call may take, in milliseconds. Default: no limit. */
  readonly timeout?: number | undefined;
  /** The definitions that its decorator names, by group. */
  readonly definitions?: ReadonlyMap<string, EventDefinition> | undefined;
  /** Its limits over all processes. */
  readonly limits?: FleetLimits | undefined;
  /** The field of the metadata by which its deliveries are partitioned. */
  readonly partitionBy?: string | undefined;
  /** How its events come together in calls; undefined if it gets single events. */
  readonly batch?: Batch | undefined;
  /** Calls the method: with an event, or with a list of events if it has a `batch`. */
  readonly call: (given: SparkEvent | SparkEvent[], scope: HandlerScope | BatchScope) => unknown;
}

/** The name of a handler, and the names that it had before. */
export const namesOf = ({ name, options }: Handler): string[] => [name, ...(options.aliases ?? [])];

/** The handlers that this process has for one DataSource. */
export class HandlerRegistry {
  private readonly byName = new Map<string, Handler>();
  private readonly handlers: Handler[] = [];

  add(handler: Handler): void {
    for (const name of namesOf(handler)) {
      const twin = this.byName.get(name);
      if (twin) throw new DuplicateHandlerError(name, twin.where, handler.where);
      this.byName.set(name, handler);
    }
    this.handlers.push(handler);
  }

  all(): readonly Handler[] {
    return this.handlers;
  }

  /** The handler that has this name, or had it before. */
  named(name: string): Handler | undefined {
    return this.byName.get(name);
  }
}
