import type { EntityManager } from 'typeorm';
import { BEHIND, OPENED_COLUMNS, openedRow, SET } from '../database/delivery-columns.js';
import { type DeliveryState, ENDED } from '../database/delivery-states.js';
import type { Dialect } from '../database/dialect.js';
import { type OpenedEvent, openingOf } from '../database/event-insert.js';
import { chunks, execute, select, values } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { BulkRun } from './bulk-run.js';
import { DISCARDED_HELD, FINAL_REASONS } from './discard-reasons.js';
import {
  type Chosen,
  deliveryConditions,
  type DeliveryRecordFilter,
  eventConditions,
  type EventFilter,
} from './record-filter.js';

/**
 * Selects deliveries.
 *
 * @deprecated Use {@link DeliveryRecordFilter}.
 */
export type DeliveryFilter = DeliveryRecordFilter;

/** Deliveries that wait for a handler that no process has. */
export interface Orphans {
  readonly handler: string;
  readonly deliveries: number;
  /** When the delivery that has waited longest was due. */
  readonly since: Date;
  /** When a process last registered the handler. Processes do so each minute. Undefined if the handler was never registered. */
  readonly lastSeen: Date | undefined;
}

/** Which past events a handler gets. */
export interface Replayed extends Chosen<EventFilter> {
  /** The handler's present name. `names` has all names that it has had. */
  readonly name: string;
  readonly names: readonly string[];
  readonly matches: (group: string) => boolean;
  /** The priority of deliveries that the handler gets for the first time. */
  readonly priority: number;
  /** The field of the metadata by which its deliveries are partitioned. */
  readonly partitionBy: string | undefined;
  /** Whether finished deliveries are delivered again. */
  readonly repeat: boolean;
}

/** A change of the deliveries that are in one state. */
interface Change {
  readonly state: DeliveryState;
  /** A further condition on the delivery `d`. */
  readonly only?: string;
  readonly set: string;
  readonly parameters: object;
}

const ROWS = 1_000;
const rank = (priority: number | undefined): string => (priority === undefined ? BEHIND : 'priority = :priority');

/** The states to which each call applies. */
export const STATES_OF = {
  retry: ['available', 'discarded'],
  discard: ['available', 'held'],
  release: ['held'],
} as const satisfies Record<string, readonly DeliveryState[]>;

/** The calls that work on deliveries after failures, or for a new handler. They do not change running deliveries. */
export class DeliveryAdmin {
  constructor(
    private readonly tables: TableNames,
    private readonly dialect: Dialect,
  ) {}

  /**
   * Makes discarded deliveries available again, with all their attempts. Deliveries that wait for a retry, or are on
   * their way by a carrier, become due at once, too. It does not change deliveries that were discarded for one of FINAL_REASONS.
   */
  async retry(run: BulkRun, chosen: Chosen<DeliveryRecordFilter>, now: number, priority?: number): Promise<void> {
    const parameters = { now, priority, final: FINAL_REASONS };
    // Waiting deliveries come first: a discarded one that is made available may fail and wait meanwhile, and would be changed twice.
    const waiting = `attempt = 0, due_at = :now, claimed_by = NULL, ${rank(priority)}`;
    await this.change(run, chosen, { state: 'available', only: 'd.due_at > :now', set: waiting, parameters });
    const only = `COALESCE(d.last_error, '') NOT IN (:...final)`;
    await this.change(run, chosen, { state: 'discarded', only, set: `${SET.again}, ${rank(priority)}`, parameters });
  }

  /** Gives up deliveries that no handler is handling, including held ones. */
  async discard(run: BulkRun, chosen: Chosen<DeliveryRecordFilter>, now: number): Promise<void> {
    const set = SET.discarded;
    await this.change(run, chosen, { state: 'available', set, parameters: { now, error: 'discarded by hand' } });
    await this.change(run, chosen, { state: 'held', set, parameters: { now, error: DISCARDED_HELD } });
  }

  /** Makes held deliveries available. */
  async release(run: BulkRun, chosen: Chosen<DeliveryRecordFilter>, now: number, priority?: number): Promise<void> {
    const set = `${SET.released}, ${rank(priority)}`;
    await this.change(run, chosen, { state: 'held', set, parameters: { now, priority } });
  }

  /** Opens deliveries of past events for a handler, oldest first. It repeats finished deliveries only with `repeat`. */
  async replay(run: BulkRun, replayed: Replayed, now: number, priority?: number): Promise<void> {
    const rows = {
      from: `${this.tables.event} e`,
      id: 'e.id',
      where: eventConditions(replayed.filter, replayed.of),
    };
    await run.over(rows, {
      count: async (manager, ids) => {
        const { fresh, again } = await this.replayable(manager, replayed, ids);
        return fresh.length + again.length;
      },
      change: async (manager, ids) => {
        const { fresh, again } = await this.replayable(manager, replayed, ids);
        const opened = await this.open(manager, replayed, priority ?? replayed.priority + 1, fresh, now);
        return opened + (await this.reopen(manager, again, now, priority));
      },
    });
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

  /** Changes the chosen deliveries of a state. It does not change a delivery that has left the state since it was read. */
  private async change(
    run: BulkRun,
    { filter, of }: Chosen<DeliveryRecordFilter>,
    { state, only, set, parameters }: Change,
  ): Promise<void> {
    if (filter.state !== undefined && ![filter.state].flat().includes(state)) return;
    const { delivery, event } = this.tables;
    // The state is a literal, as in the partial index: SQLite compares the texts of both.
    const fits = `d.state = '${state}'${only === undefined ? '' : ` AND ${only}`}`;
    const where = deliveryConditions({ ...filter, state: undefined }, of, this.tables).add(fits, fits, parameters);
    const update = `UPDATE ${delivery} AS d SET ${set} WHERE d.id IN (:...ids) AND ${fits}`;
    await run.over(
      { from: `${delivery} d JOIN ${event} e ON e.id = d.event_id`, id: 'd.id', where },
      { change: async (manager, ids) => (await execute(manager, update, { ...parameters, ids })).affected ?? 0 },
    );
  }

  /** Returns the events that a handler gets for the first time, and the deliveries that it gets again. */
  private async replayable(manager: EntityManager, { names, matches, repeat }: Replayed, ids: readonly string[]) {
    const { event, delivery } = this.tables;
    const rows = await select<OpenedEvent & { id: string; delivery_id: string | null; state: string | null }>(
      manager,
      `SELECT e.id, e.event_group, e.metadata, d.id AS delivery_id, d.state FROM ${event} e
       LEFT JOIN ${delivery} d ON d.event_id = e.id AND d.handler IN (:...names)
       WHERE e.id IN (:...ids) ORDER BY e.id`,
      { names, ids },
    );
    const wanted = rows.filter((row) => matches(row.event_group));
    const isOver = ({ state }: { state: string | null }) => (ENDED as readonly (string | null)[]).includes(state);
    return {
      fresh: wanted.filter((row) => row.delivery_id === null),
      again: repeat ? wanted.filter(isOver).map((row) => row.delivery_id!) : [],
    };
  }

  private async open(
    manager: EntityManager,
    { name, partitionBy }: Replayed,
    priority: number,
    events: readonly OpenedEvent[],
    now: number,
  ) {
    let opened = 0;
    for (const part of chunks(events, ROWS)) {
      const handler = { name, priority, partitionBy, initialState: 'available' } as const;
      const rows = values(part.map((event) => openedRow(openingOf(handler, event), now)));
      // Another call may replay the same events.
      const insert = this.dialect.insertOrIgnore(`INTO ${this.tables.delivery} (${OPENED_COLUMNS}) VALUES ${rows.sql}`);
      opened += (await execute(manager, insert, rows.parameters)).affected ?? 0;
    }
    return opened;
  }

  private async reopen(manager: EntityManager, ids: readonly string[], now: number, priority: number | undefined) {
    if (ids.length === 0) return 0;
    const update = `UPDATE ${this.tables.delivery} SET ${SET.again}, ${rank(priority)} WHERE id IN (:...ids) AND state IN (:...over)`;
    return (await execute(manager, update, { ids, now, priority, over: ENDED })).affected ?? 0;
  }
}
