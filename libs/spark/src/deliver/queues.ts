import type { OpenQueue } from '../database/claim-queues.js';
import type { FoundQueue } from '../database/dialect.js';
import { namesOf } from '../handler/handler.registry.js';
import type { Delivery } from '../store/deliveries.js';
import type { HandlerRoom } from './handler-slots.js';

/** The queues of this process's handlers, and the order in which it claims from them. */
export class Queues {
  /** The queues that the database was found to have besides those of the handlers' own priorities. */
  private found: readonly FoundQueue[] = [];
  /** When each handler was last claimed for, as a number that grows. */
  private readonly served = new Map<string, number>();
  private claims = 0;

  /** Remembers the queues that the database has. Returns whether there are some that were not known. */
  remember(found: readonly FoundQueue[]): boolean {
    const known = new Set(this.found.map(idOf));
    this.found = found;
    return found.some((queue) => !known.has(idOf(queue)));
  }

  /** Counts a claim of deliveries. Other handlers of the same priority come before theirs at the next claim. */
  serve(claimed: readonly Pick<Delivery, 'handler'>[]): void {
    this.claims++;
    for (const { handler } of claimed) this.served.set(handler, this.claims);
  }

  /** The queues of suspects. */
  ofSuspects(rooms: readonly HandlerRoom[]): OpenQueue[] {
    return this.open(rooms, (name) => this.priorities(name, true));
  }

  /** The queues of all other deliveries: the most urgent first, among equals those first that were not claimed from for longest. */
  ofOthers(rooms: readonly HandlerRoom[]): OpenQueue[] {
    // Deliveries that are opened now have the handler's own priority, so its queue is claimed from without asking whether it exists.
    return this.open(rooms, (name, own) => [...new Set([own, ...this.priorities(name, false)])]);
  }

  private priorities(name: string, suspect: boolean): number[] {
    return this.found
      .filter((queue) => queue.handler === name && queue.suspect === suspect)
      .map(({ priority }) => priority);
  }

  private open(rooms: readonly HandlerRoom[], prioritiesOf: (name: string, own: number) => number[]): OpenQueue[] {
    const turn = ({ handler }: HandlerRoom) => Math.max(...namesOf(handler).map((name) => this.served.get(name) ?? 0));
    return rooms
      .toSorted((a, b) => turn(a) - turn(b))
      .flatMap(({ handler, room }, of) => {
        const { priority: own = 0, transactional: connects = false } = handler.options;
        return namesOf(handler).flatMap((name) =>
          prioritiesOf(name, own).map((priority) => ({ handler: name, priority, of, room, connects })),
        );
      })
      .sort((a, b) => a.priority - b.priority);
  }
}

const idOf = ({ handler, priority, suspect }: FoundQueue): string => `${handler} ${priority} ${suspect}`;
