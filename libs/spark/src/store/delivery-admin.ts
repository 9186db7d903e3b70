import type { EntityManager, ObjectLiteral } from 'typeorm';
import { BASELINE, ENDED } from '../database/delivery-states.js';
import { execute, select, values } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { DISCARDED_HELD } from './held-deliveries.js';

/** Which deliveries are meant; what is left out does not matter. */
export interface DeliveryFilter {
  /** The handler's name. */
  handler?: string;
  /** The event's group. */
  group?: string;
  /** The event's key. */
  key?: string;
}

/** Deliveries that wait for a handler which no process has. */
export interface Orphans {
  readonly handler: string;
  readonly deliveries: number;
  /** When the longest waiting one was due. */
  readonly since: Date;
  /** When a process last said that it has the handler, which processes do each minute; undefined for one that was never registered. */
  readonly lastSeen: Date | undefined;
}

const ROWS = 1_000;
// What is news comes before what is done once more, however much that is.
const BEHIND = 'priority = priority + 1';

/** What people do with deliveries after something failed, or for a handler that is new. */
export class DeliveryAdmin {
  constructor(private readonly tables: TableNames) {}

  /**
   * Makes discarded deliveries available again, with all their attempts, and those due at once that wait for their next one. History
   * that nobody wanted stays history.
   */
  async retry(manager: EntityManager, filter: DeliveryFilter, now: number): Promise<number> {
    const { sql, parameters } = this.chosen(filter);
    const changes = `state = 'available', attempt = 0, suspect = 0, due_at = :now, claimed_by = NULL, finished_at = NULL, ${BEHIND}`;
    const update = `UPDATE ${this.tables.delivery} SET ${changes} WHERE state = 'discarded'
      AND COALESCE(last_error, '') NOT IN (:...history)${sql}`;
    const again = await execute(manager, update, { ...parameters, now, history: [BASELINE, DISCARDED_HELD] });
    const waiting = `UPDATE ${this.tables.delivery} SET attempt = 0, due_at = :now, ${BEHIND}
      WHERE state = 'available' AND due_at > :now${sql}`;
    const sooner = await execute(manager, waiting, { ...parameters, now });
    return (again.affected ?? 0) + (sooner.affected ?? 0);
  }

  /** Gives up deliveries that nobody is handling, held ones included. */
  async discard(manager: EntityManager, filter: DeliveryFilter, now: number): Promise<number> {
    const { sql, parameters } = this.chosen(filter);
    let discarded = 0;
    for (const [state, reason] of [
      ['available', 'discarded by hand'],
      ['held', DISCARDED_HELD],
    ]) {
      const changes = `state = 'discarded', finished_at = :now, last_error = COALESCE(last_error, :reason)`;
      const update = `UPDATE ${this.tables.delivery} SET ${changes} WHERE state = '${state}'${sql}`;
      discarded += (await execute(manager, update, { ...parameters, now, reason })).affected ?? 0;
    }
    return discarded;
  }

  /** Opens deliveries of past events for a handler, oldest first; those that it has had are repeated only where asked. */
  async replay(
    manager: EntityManager,
    handler: { name: string; names: readonly string[]; priority: number; matches: (group: string) => boolean },
    replay: { group?: string; since: number; repeat: boolean },
    now: number,
  ): Promise<number> {
    const { event, delivery } = this.tables;
    let count = 0;
    for (let after = '0'; ;) {
      const events = await select<{
        id: string;
        event_group: string;
        delivery_id: string | null;
        state: string | null;
      }>(
        manager,
        `SELECT e.id, e.event_group, d.id AS delivery_id, d.state FROM ${event} e
         LEFT JOIN ${delivery} d ON d.event_id = e.id AND d.handler IN (:...names)
         WHERE e.id > :after AND e.recorded_at >= :since ORDER BY e.id LIMIT ${ROWS}`,
        { names: handler.names, after, since: replay.since },
      );
      const chosen = events.filter(
        ({ event_group: group }) => handler.matches(group) && (replay.group === undefined || replay.group === group),
      );
      const fresh = chosen.filter((row) => row.delivery_id === null);
      const again = replay.repeat ? chosen.filter(({ state }) => ENDED.some((ended) => ended === state)) : [];
      await this.open(
        manager,
        handler,
        fresh.map(({ id }) => id),
        now,
      );
      await this.reopen(
        manager,
        again.map((row) => row.delivery_id!),
        now,
      );
      count += fresh.length + again.length;
      if (events.length < ROWS) return count;
      after = String(events.at(-1)!.id);
    }
  }

  /** Deliveries of handlers that no process has. */
  async orphans(manager: EntityManager, gone: ReadonlyMap<string, Date>): Promise<Orphans[]> {
    const { delivery, handler } = this.tables;
    const rows = await select<{ handler: string; n: string; since: string }>(
      manager,
      `SELECT d.handler, COUNT(*) AS n, MIN(d.due_at) AS since FROM ${delivery} d WHERE d.state = 'available'
       GROUP BY d.handler ORDER BY d.handler`,
    );
    const known = await select<{ name: string }>(manager, `SELECT name FROM ${handler}`);
    const names = new Set(known.map(({ name }) => name));
    return rows
      .filter((row) => gone.has(row.handler) || !names.has(row.handler))
      .map((row) => ({
        handler: row.handler,
        deliveries: Number(row.n),
        since: new Date(Number(row.since)),
        lastSeen: gone.get(row.handler),
      }));
  }

  private async open(
    manager: EntityManager,
    handler: { name: string; priority: number },
    events: string[],
    now: number,
  ) {
    if (events.length === 0) return;
    const rows = values(events.map((id) => [id, handler.name, 'available', 0, handler.priority + 1, 0, now]));
    const columns = 'event_id, handler, state, attempt, priority, suspect, due_at';
    await execute(manager, `INSERT INTO ${this.tables.delivery} (${columns}) VALUES ${rows.sql}`, rows.parameters);
  }

  private async reopen(manager: EntityManager, ids: string[], now: number) {
    if (ids.length === 0) return;
    const changes = `state = 'available', attempt = 0, suspect = 0, due_at = :now, claimed_by = NULL, finished_at = NULL, ${BEHIND}`;
    await execute(manager, `UPDATE ${this.tables.delivery} SET ${changes} WHERE id IN (:...ids)`, { ids, now });
  }

  private chosen({ handler, group, key }: DeliveryFilter): { sql: string; parameters: ObjectLiteral } {
    const event = [
      group === undefined ? '' : ' AND event_group = :group',
      key === undefined ? '' : ' AND event_key = :key',
    ].join('');
    const ofEvent = event && ` AND event_id IN (SELECT id FROM ${this.tables.event} WHERE 1 = 1${event})`;
    return {
      sql: (handler === undefined ? '' : ' AND handler = :handler') + ofEvent,
      parameters: { handler, group, key },
    };
  }
}
