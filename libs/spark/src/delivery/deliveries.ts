import type { EntityManager } from 'typeorm';
import type { ClaimRequest, Dialect } from '../dialect/dialect.js';
import { execute, select } from '../dialect/statement.js';
import type { TableNames } from '../dialect/table-names.js';

/** A delivery that this process has claimed: one event for one handler. */
export interface Delivery {
  readonly id: string;
  readonly handler: string;
  readonly attempt: number;
  readonly worker: string;
  readonly event: {
    readonly key: string;
    readonly group: string;
    readonly source: string | null;
    readonly context: string | null;
    readonly at: number | null;
  };
}

interface EventRow {
  id: string;
  event_key: string;
  event_group: string;
  source: string | null;
  context: string | null;
  at: string | null;
}

const LONGEST_ERROR = 10_000;

/** The deliveries: claim, complete, try again, discard. What is not ours any more stays as it is. */
export class Deliveries {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

  /** Claims available deliveries, with their events. */
  async claim(manager: EntityManager, request: ClaimRequest): Promise<Delivery[]> {
    const rows = await this.dialect.claim(manager, request);
    if (rows.length === 0) return [];
    const events = await select<EventRow>(
      manager,
      `SELECT id, event_key, event_group, source, context, at FROM ${this.tables.event} WHERE id IN (:...ids)`,
      { ids: [...new Set(rows.map((row) => row.event_id))] },
    );
    const byId = new Map(events.map((event) => [String(event.id), event]));
    return rows.map(({ id, event_id, handler, attempt }) => {
      const { event_key: key, event_group: group, source, context, at } = byId.get(String(event_id))!;
      const event = { key, group, source, context, at: at === null ? null : Number(at) };
      return { id: String(id), handler, attempt: Number(attempt), worker: request.worker, event };
    });
  }

  /** Marks a delivery as done. Returns whether it was still ours. */
  complete(manager: EntityManager, delivery: Delivery, now: number): Promise<boolean> {
    return this.end(manager, delivery, `state = 'completed', finished_at = :now, last_error = NULL`, { now });
  }

  /** Puts a delivery that failed back, to be tried again later. */
  retry(manager: EntityManager, delivery: Delivery, due: number, error: string): Promise<boolean> {
    return this.end(manager, delivery, `state = 'available', due_at = :due, claimed_by = NULL, last_error = :error`, {
      due,
      error: error.slice(0, LONGEST_ERROR),
    });
  }

  /** Gives a delivery up, visibly. */
  discard(manager: EntityManager, delivery: Delivery, now: number, error: string): Promise<boolean> {
    return this.end(manager, delivery, `state = 'discarded', finished_at = :now, last_error = :error`, {
      now,
      error: error.slice(0, LONGEST_ERROR),
    });
  }

  private async end(manager: EntityManager, delivery: Delivery, changes: string, parameters: object): Promise<boolean> {
    const { id, worker, attempt } = delivery;
    const { affected } = await execute(
      manager,
      `UPDATE ${this.tables.delivery} SET ${changes}
       WHERE id = :id AND state = 'running' AND claimed_by = :worker AND attempt = :attempt`,
      { ...parameters, id, worker, attempt },
    );
    return affected === 1;
  }
}
