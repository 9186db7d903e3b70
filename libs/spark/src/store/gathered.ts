import type { EntityManager, ObjectLiteral } from 'typeorm';
import { OURS, SET } from '../database/delivery-columns.js';
import type { Dialect } from '../database/dialect.js';
import { chunks, execute, select, values } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { KeysRequest } from './digest-claims.js';

/** A delivery that waits with others of its key, until it is due. */
export interface KeyedDelivery {
  readonly delivery: Readonly<Record<'id' | 'handler' | 'worker', string>> & { readonly attempt: number };
  readonly key: string;
  /** In epoch ms. */
  readonly due: number;
}

const ROWS = 1_000;

/**
 * The deliveries of digests whose keys are known: those that wait for their window to end, or for their next attempt. A delivery has a row
 * until it is completed or removed. All deliveries of a key are claimed together, when the first of them is due.
 */
export class Gathered {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

  /**
   * Makes deliveries of one worker at one attempt available again, which wait with others of their keys. The attempts do not count. Returns
   * the ids of those that were still ours.
   */
  async add(manager: EntityManager, waiting: readonly KeyedDelivery[]): Promise<Set<string>> {
    const { delivery: table, gathered } = this.tables;
    const { byKey, forUpdate } = this.dialect;
    const { worker, attempt } = waiting[0]!.delivery;
    const running = await select<{ id: string }>(
      manager,
      `SELECT id FROM ${table} ${byKey} WHERE id IN (:...ids) AND ${OURS} ORDER BY id ${forUpdate}`,
      { ids: waiting.map(({ delivery }) => delivery.id), worker, attempt },
    );
    const ours = new Set(running.map(({ id }) => String(id)));
    const own = waiting.filter(({ delivery }) => ours.has(delivery.id));
    if (own.length === 0) return ours;
    const parameters: ObjectLiteral = { ids: [...ours] };
    const dues = own.map(({ delivery, due }, i) => {
      parameters[`id${i}`] = delivery.id;
      return `WHEN :id${i} THEN ${Math.ceil(due)}`;
    });
    const set = `${SET.givenBack}, due_at = CASE id ${dues.join(' ')} END`;
    await execute(manager, `UPDATE ${table} ${byKey} SET ${set} WHERE id IN (:...ids)`, parameters);
    const keys = values(own.map(({ delivery: { id, handler }, key }) => [id, handler, key]));
    const insert = `INTO ${gathered} (delivery_id, handler, batch_key) VALUES ${keys.sql}`;
    await execute(manager, this.dialect.insertOrIgnore(insert), keys.parameters);
    return ours;
  }

  /** Removes the keys of deliveries. */
  async remove(manager: EntityManager, deliveryIds: readonly string[]): Promise<void> {
    for (const ids of chunks(deliveryIds, ROWS))
      await execute(manager, `DELETE FROM ${this.tables.gathered} WHERE delivery_id IN (:...ids)`, { ids });
  }

  /** Until when keys may not be called, in epoch milliseconds. */
  async throttled(manager: EntityManager, { names, keys, now }: KeysRequest): Promise<Map<string, number>> {
    const rows = await select<{ batch_key: string; until_at: string }>(
      manager,
      `SELECT batch_key, until_at FROM ${this.tables.throttle}
       WHERE handler IN (:...names) AND batch_key IN (:...keys) AND until_at > :now`,
      { names, keys, now },
    );
    return new Map(rows.map(({ batch_key: key, until_at: until }) => [key, Number(until)]));
  }

  /** Lets the available deliveries of a key wait. */
  async postpone(manager: EntityManager, names: readonly string[], key: string, until: number): Promise<void> {
    const { gathered, delivery } = this.tables;
    const rows = await select<{ id: string }>(
      manager,
      `SELECT d.id FROM ${gathered} g JOIN ${delivery} d ON d.id = g.delivery_id
       WHERE g.handler IN (:...names) AND g.batch_key = :key AND d.state = 'available' AND d.due_at < :until`,
      { names, key, until },
    );
    for (const part of chunks(rows, ROWS))
      await execute(
        manager,
        `UPDATE ${delivery} SET due_at = :until WHERE id IN (:...ids) AND state = 'available' AND due_at < :until`,
        { until, ids: part.map(({ id }) => id) },
      );
  }

  /** Lets a key not be called until an instant. */
  async throttle(manager: EntityManager, handler: string, key: string, until: number): Promise<void> {
    const { throttle } = this.tables;
    const row = { handler, key, until: Math.ceil(until) };
    const update = `UPDATE ${throttle} SET until_at = :until WHERE handler = :handler AND batch_key = :key`;
    const insert = `INTO ${throttle} (handler, batch_key, until_at) VALUES (:handler, :key, :until)`;
    await execute(manager, this.dialect.insertOrIgnore(insert), row);
    await execute(manager, update, row);
  }

  /** Removes the keys of deliveries that have ended or are gone, and the times of throttles that are over. */
  async prune(manager: EntityManager, now: number): Promise<void> {
    const { gathered, delivery, throttle } = this.tables;
    const over = `SELECT g.delivery_id AS id FROM ${gathered} g LEFT JOIN ${delivery} d ON d.id = g.delivery_id
      WHERE d.id IS NULL OR d.state NOT IN ('available', 'running', 'held') LIMIT ${ROWS}`;
    for (let last = ROWS; last === ROWS;) {
      const ids = (await select<{ id: string }>(manager, over)).map(({ id }) => id);
      await this.remove(manager, ids);
      last = ids.length;
    }
    await execute(manager, `DELETE FROM ${throttle} WHERE until_at < :now`, { now });
  }
}
