import type { EntityManager } from 'typeorm';
import { type DeliveryRow, SET } from '../database/delivery-columns.js';
import { NO_CONTENT } from '../database/event-columns.js';
import { chunks, execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { namesOf } from '../entity/entity-table.js';
import type { SubjectRef } from '../entity/subject-ref.js';
import type { BulkRows, BulkRun } from './bulk-run.js';
import { ERASED } from './discard-reasons.js';
import type { FailedAttempts } from './failed-attempts.js';
import { KEYS_REMOVED, type SweepRows } from './sweep-rows.js';
import { type Chosen, eventConditions, type EventFilter } from './record-filter.js';

/** What a call of `erase` did with the events of an entity. */
export interface Erased {
  /** How many events have no data any more. */
  readonly events: number;
  /** How many deliveries were given up, because they waited for a handler or were held. */
  readonly discarded: number;
  /** How many events keep their data for now, because a handler is handling them. */
  readonly running: number;
}

const ROWS = 1_000;

/** The calls that work on past events: they let events happen again, or remove their personal data. */
export class EventAdmin {
  constructor(
    private readonly tables: TableNames,
    private readonly failedAttempts: FailedAttempts,
    private readonly sweeps: SweepRows,
  ) {}

  /** Removes events with all their deliveries, so that their keys can be entered again. */
  async forget(run: BulkRun, chosen: Chosen<EventFilter>): Promise<void> {
    const { event, delivery } = this.tables;
    await run.over(this.rows(chosen), {
      change: async (manager, ids) => {
        const deliveries = (await this.deliveriesOf(manager, ids)).map(({ id }) => id);
        await execute(manager, `DELETE FROM ${delivery} WHERE event_id IN (:...ids)`, { ids });
        await this.failedAttempts.forget(manager, deliveries);
        const forgotten = (await execute(manager, `DELETE FROM ${event} WHERE id IN (:...ids)`, { ids })).affected ?? 0;
        await this.sweeps.needFull(manager, KEYS_REMOVED);
        return forgotten;
      },
    });
  }

  /** Removes the rechecks of an entity. */
  async forgetRechecks(manager: EntityManager, { root, id }: SubjectRef): Promise<void> {
    const ofIt = `entity IN (:...names) AND entity_id = :id`;
    await execute(manager, `DELETE FROM ${this.tables.recheck} WHERE ${ofIt}`, { names: namesOf(root), id });
    // Sweeps of changed rows rely on the rechecks of future events.
    await this.sweeps.needFull(manager, KEYS_REMOVED);
  }

  /**
   * Removes the data of an entity from its events and their deliveries. The keys stay, so that the events do not happen again. A running
   * delivery needs its context, also for a retry, so its event is left for another call.
   */
  async erase(run: BulkRun, subject: SubjectRef, now: number): Promise<Erased> {
    // Counts are stored by the first event of each chunk, because a transaction may run more than once.
    const chunksDone = new Map<string, Omit<Erased, 'events'>>();
    const done = (ids: readonly string[], discarded: number, running: number) => {
      chunksDone.set(ids[0]!, { discarded, running });
      return ids.length - running;
    };
    await run.over(this.rows({ filter: {}, of: subject }), {
      count: async (manager, ids) => {
        const deliveries = await this.deliveriesOf(manager, ids);
        const running = new Set(deliveries.filter(isRunning).map((delivery) => delivery.event_id));
        return done(ids, deliveries.filter(isWaiting).length, running.size);
      },
      change: async (manager, ids) => {
        const deliveries = (await this.deliveriesOf(manager, ids)).filter((delivery) => !isRunning(delivery));
        const discarded = await this.eraseDeliveries(manager, deliveries, now);
        const finished = await this.finished(manager, ids);
        const erase = `UPDATE ${this.tables.event} SET ${NO_CONTENT} WHERE id IN (:...ids)`;
        await this.each(manager, finished, erase);
        return done(ids, discarded, ids.length - finished.length);
      },
    });
    const sum = (name: 'discarded' | 'running') => [...chunksDone.values()].reduce((all, one) => all + one[name], 0);
    return { events: run.done, discarded: sum('discarded'), running: sum('running') };
  }

  /** Discards deliveries that wait, and removes the errors of all. Returns how many it discarded. */
  private async eraseDeliveries(manager: EntityManager, deliveries: readonly InState[], now: number) {
    const { delivery } = this.tables;
    const parameters = { now, erased: ERASED };
    const waiting = deliveries.filter(isWaiting).map(({ id }) => id);
    const ids = deliveries.map(({ id }) => id);
    const discard = `UPDATE ${delivery} SET state = 'discarded', finished_at = :now, ${SET.erased}
      WHERE id IN (:...ids) AND state IN ('available', 'held')`;
    const discarded = await this.each(manager, waiting, discard, parameters);
    const erase = `UPDATE ${delivery} SET ${SET.erased} WHERE id IN (:...ids) AND last_error IS NOT NULL
      AND state IN ('completed', 'skipped', 'discarded')`;
    await this.each(manager, ids, erase, parameters);
    await this.failedAttempts.forget(manager, ids);
    return discarded;
  }

  /** Returns the events that have no delivery left that a handler may still get. */
  private async finished(manager: EntityManager, ids: readonly string[]): Promise<string[]> {
    const rows = await select<{ id: string }>(
      manager,
      `SELECT DISTINCT event_id AS id FROM ${this.tables.delivery}
       WHERE event_id IN (:...ids) AND state IN ('available', 'held', 'running')`,
      { ids },
    );
    const left = new Set(rows.map(({ id }) => String(id)));
    return ids.filter((id) => !left.has(id));
  }

  private rows({ filter, of }: Chosen<EventFilter>): BulkRows {
    return { from: `${this.tables.event} e`, id: 'e.id', where: eventConditions(filter, of) };
  }

  // By id: a condition on other columns would wait for rows that a handler's transaction has locked.
  private deliveriesOf(manager: EntityManager, events: readonly string[]): Promise<InState[]> {
    const sql = `SELECT id, event_id, state FROM ${this.tables.delivery} WHERE event_id IN (:...events)`;
    return select(manager, sql, { events });
  }

  /** Runs a statement on rows by their ids. Returns how many it has changed. */
  private async each(manager: EntityManager, all: readonly string[], sql: string, parameters: object = {}) {
    let changed = 0;
    for (const ids of chunks(all, ROWS)) changed += (await execute(manager, sql, { ...parameters, ids })).affected ?? 0;
    return changed;
  }
}

type InState = Pick<DeliveryRow, 'id' | 'event_id' | 'state'>;

const isRunning = ({ state }: InState): boolean => state === 'running';
const isWaiting = ({ state }: InState): boolean => state === 'available' || state === 'held';
