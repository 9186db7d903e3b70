import type { EntityManager } from 'typeorm';
import { claimRead, type WithoutEvent } from '../database/claim-complete.js';
import type { OpenQueue } from '../database/claim-queues.js';
import type { ClaimedRow, ClaimRequest, Dialect } from '../database/dialect.js';
import { chunks, execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { dueIn, type DueRequest, notPassed } from './due-deliveries.js';

/** What the queues of a handler of digests have that is due. */
export interface DueDigests {
  /** The ids of deliveries whose keys are not known yet. */
  readonly fresh: readonly string[];
  /** The keys of the others. */
  readonly keys: readonly string[];
}

/** For whom deliveries are claimed, and when. */
export type ClaimedFor = Pick<ClaimRequest, 'worker' | 'now'>;

/** Which keys of a handler to claim. */
export interface KeysRequest extends ClaimedFor, Pick<ClaimRequest, 'passed'> {
  /** All names of the handler. */
  readonly names: readonly string[];
  readonly keys: readonly string[];
  /** How many keys are claimed at most. */
  readonly limit: number;
  /** How many deliveries of each key are claimed at most. */
  readonly max: number;
}

/** The claimed deliveries of a key. */
export interface ClaimedKey {
  readonly key: string;
  readonly rows: readonly ClaimedRow[];
}

/** The first delivery of a key, and how many of the key are running. */
interface KeyRow {
  readonly batch_key: string;
  readonly head: string | null;
  readonly running: string | number;
}

// How many due deliveries one claim reads.
const MOST = 500;
const ROWS = 1_000;
const COLUMNS = 'd.id, d.event_id, d.handler, d.partition_key, d.attempt + 1 AS attempt, d.due_at';

/**
 * The deliveries of digests whose keys are known: those that wait for their window to end, or for their next attempt. A delivery has a row
 * until it is completed or removed. All deliveries of a key are claimed together, when the first of them is due.
 */
export class Gathered {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

  /** Stores the key of a delivery, in the transaction that makes it available again. */
  async add(manager: EntityManager, id: string, handler: string, key: string): Promise<void> {
    const insert = `INTO ${this.tables.gathered} (delivery_id, handler, batch_key) VALUES (:id, :handler, :key)`;
    await execute(manager, this.dialect.insertOrIgnore(insert), { id, handler, key });
  }

  /** Removes the keys of deliveries. */
  async remove(manager: EntityManager, deliveryIds: readonly string[]): Promise<void> {
    for (const ids of chunks(deliveryIds, ROWS))
      await execute(manager, `DELETE FROM ${this.tables.gathered} WHERE delivery_id IN (:...ids)`, { ids });
  }

  /** What is due in the queues of a handler. It locks nothing. */
  async due(manager: EntityManager, queues: readonly OpenQueue[], request: DueRequest): Promise<DueDigests> {
    const { delivery, gathered } = this.tables;
    const fresh: string[] = [];
    const keys = new Set<string>();
    for (const queue of queues) {
      const { sql, parameters } = dueIn(this.tables, queue, request);
      const rows = await select<{ id: string; batch_key: string | null }>(
        manager,
        `SELECT d.id, g.batch_key FROM ${delivery} d LEFT JOIN ${gathered} g ON g.delivery_id = d.id
         WHERE ${sql} ORDER BY d.due_at, d.id LIMIT ${MOST}`,
        parameters,
      );
      for (const { id, batch_key: key } of rows)
        if (key === null) fresh.push(id);
        else keys.add(key);
    }
    return { fresh: fresh.slice(0, MOST), keys: [...keys] };
  }

  /** Claims deliveries whose keys are not known yet. */
  async claimFresh(manager: EntityManager, by: ClaimedFor, ids: readonly string[]): Promise<ClaimedRow[]> {
    if (ids.length === 0) return [];
    return claimRead(manager, this.tables, by, await this.lock(manager, ids), this.dialect.byKey);
  }

  /**
   * Claims the available deliveries of keys, due or not. A key of which a delivery is running is left out: there is one call of a key at a
   * time. So is a key whose first delivery is locked: another process is claiming it.
   */
  async claimKeys(manager: EntityManager, wanted: KeysRequest): Promise<ClaimedKey[]> {
    const claimed: ClaimedKey[] = [];
    for (const { batch_key: key, head } of await this.free(manager, wanted)) {
      if (claimed.length === wanted.limit) break;
      if ((await this.lock(manager, [head!])).length === 0) continue;
      const rows = await this.lock(manager, await this.availableOf(manager, key, wanted));
      claimed.push({ key, rows: await claimRead(manager, this.tables, wanted, rows, this.dialect.byKey) });
    }
    return claimed;
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

  /** Those of the wanted keys that no process is handling, each with its first available delivery. */
  private async free(manager: EntityManager, { names, keys, passed }: KeysRequest): Promise<KeyRow[]> {
    const { gathered, delivery, pause } = this.tables;
    const isOurs = `d.state = 'available' AND d.suspect = 0 ${notPassed(passed)}`;
    const rows = await select<KeyRow>(
      manager,
      `SELECT g.batch_key, MIN(CASE WHEN ${isOurs} THEN d.id END) AS head,
         SUM(CASE WHEN d.state = 'running' THEN 1 ELSE 0 END) AS running
       FROM ${gathered} g JOIN ${delivery} d ON d.id = g.delivery_id
       WHERE g.handler IN (:...names) AND g.batch_key IN (:...keys) AND d.state IN ('available', 'running')
         AND NOT EXISTS (SELECT 1 FROM ${pause} p WHERE p.handler = d.handler)
       GROUP BY g.batch_key`,
      { names, keys, passed },
    );
    const order = new Map(keys.map((key, i) => [key, i]));
    return rows
      .filter(({ head, running }) => head !== null && Number(running) === 0)
      .sort((a, b) => order.get(a.batch_key)! - order.get(b.batch_key)!);
  }

  private async availableOf(manager: EntityManager, key: string, { names, max, passed }: KeysRequest) {
    const { gathered, delivery } = this.tables;
    const rows = await select<{ id: string }>(
      manager,
      `SELECT d.id FROM ${gathered} g JOIN ${delivery} d ON d.id = g.delivery_id
       WHERE g.handler IN (:...names) AND g.batch_key = :key AND d.state = 'available' AND d.suspect = 0 ${notPassed(passed)}
       ORDER BY d.due_at, d.id LIMIT ${max}`,
      { names, key, passed },
    );
    return rows.map(({ id }) => id);
  }

  /** Locks those deliveries that are available and not locked. The first due ones come first. */
  private async lock(manager: EntityManager, ids: readonly string[]): Promise<WithoutEvent[]> {
    if (ids.length === 0) return [];
    const { byKey, skipsLocked } = this.dialect;
    return select<WithoutEvent>(
      manager,
      `SELECT ${COLUMNS} FROM ${this.tables.delivery} d ${byKey} WHERE d.id IN (:...ids) AND d.state = 'available'
       ORDER BY d.due_at, d.id ${skipsLocked ? 'FOR UPDATE SKIP LOCKED' : ''}`,
      { ids },
    );
  }
}
