import { DuplicateHandlerError } from '../error/duplicate-handler.error.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { GroupHandlerOptions, HandlerScope } from './group-handler.decorator.js';

/** A handler as the explorer found it. */
export interface Handler {
  readonly name: string;
  readonly where: string;
  readonly pattern: RegExp;
  readonly options: GroupHandlerOptions;
  readonly call: (event: SparkEvent, scope: HandlerScope) => unknown;
}

/** The handlers that this process has for one DataSource. */
export class HandlerRegistry {
  private readonly byName = new Map<string, Handler>();

  add(handler: Handler): void {
    const twin = this.byName.get(handler.name);
    if (twin) throw new DuplicateHandlerError(handler.name, twin.where, handler.where);
    this.byName.set(handler.name, handler);
  }

  all(): Handler[] {
    return [...this.byName.values()];
  }

  named(name: string): Handler | undefined {
    return this.byName.get(name);
  }
}
