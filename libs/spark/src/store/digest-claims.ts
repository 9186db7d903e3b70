import type { EntityManager } from 'typeorm';
import { claimRead, type WithoutEvent } from '../database/claim-complete.js';
import type { OpenQueue } from '../database/claim-queues.js';
import type { ClaimedRow, ClaimRequest, Dialect } from '../database/dialect.js';
import { chunks, select } from '../database/statement.js';
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

/** The first delivery of a key, how many of the key are available, and how many are running. */
interface KeyRow {
  readonly batch_key: string;
  readonly head: string | null;
  readonly available: string | number;
  readonly running: string | number;
}

// How many due deliveries one claim reads.
const MOST = 500;
// How many deliveries one claim of keys takes, about.
const ROWS = 1_000;
// Of how many keys it reads at once how many deliveries they have.
const KEYS = 50;
const COLUMNS = 'd.id, d.event_id, d.handler, d.partition_key, d.attempt + 1 AS attempt, d.due_at';

/** The statements that claim deliveries of digests. */
export class DigestClaims {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

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
    const keys = await this.lockKeys(manager, wanted);
    if (keys.length === 0) return [];
    const available = await this.availableOf(manager, keys, wanted);
    const rows = await this.lock(manager, [...available.keys()]);
    const claimed = new Map<string, ClaimedRow[]>(keys.map((key) => [key, []]));
    for (const row of await claimRead(manager, this.tables, wanted, rows, this.dialect.byKey))
      claimed.get(available.get(String(row.id))!)!.push(row);
    return [...claimed].map(([key, ofKey]) => ({ key, rows: ofKey }));
  }

  /** Locks the first delivery of each key that one claim takes. */
  private async lockKeys(manager: EntityManager, wanted: KeysRequest): Promise<string[]> {
    const locked: KeyRow[] = [];
    for (const keys of chunks(wanted.keys, KEYS)) {
      const part = fitting(await this.free(manager, { ...wanted, keys }), wanted, locked);
      const first = part.map(({ head }) => head!);
      const heads = new Set((await this.lock(manager, first)).map(({ id }) => String(id)));
      const own = part.filter(({ head }) => heads.has(String(head)));
      locked.push(...(await this.stillFree(manager, own, wanted)));
      if (isFull(wanted, locked)) break;
    }
    return locked.map(({ batch_key: key }) => key);
  }

  /** Those of the wanted keys that no process is handling, each with its first available delivery. */
  private async free(manager: EntityManager, { names, keys, passed }: KeysRequest): Promise<KeyRow[]> {
    const { gathered, delivery, pause } = this.tables;
    const isOurs = `d.state = 'available' AND d.suspect = 0 ${notPassed(passed)}`;
    const rows = await select<KeyRow>(
      manager,
      `SELECT g.batch_key, MIN(CASE WHEN ${isOurs} THEN d.id END) AS head,
         SUM(CASE WHEN ${isOurs} THEN 1 ELSE 0 END) AS available,
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

  /** Those of locked keys that no process has claimed since they were read: it may have left the first delivery for a later call. */
  private async stillFree(manager: EntityManager, keys: readonly KeyRow[], wanted: KeysRequest): Promise<KeyRow[]> {
    return keys.length === 0 ? [] : this.free(manager, { ...wanted, keys: keys.map(({ batch_key: key }) => key) });
  }

  /** The ids of the available deliveries of keys, up to `max` of each, with their keys. */
  private async availableOf(
    manager: EntityManager,
    keys: readonly string[],
    { names, max, passed }: KeysRequest,
  ): Promise<Map<string, string>> {
    const { gathered, delivery } = this.tables;
    const rows = await select<{ id: string; batch_key: string }>(
      manager,
      `SELECT id, batch_key FROM (
         SELECT d.id, g.batch_key, ROW_NUMBER() OVER (PARTITION BY g.batch_key ORDER BY d.due_at, d.id) AS nth
         FROM ${gathered} g JOIN ${delivery} d ON d.id = g.delivery_id
         WHERE g.handler IN (:...names) AND g.batch_key IN (:...keys) AND d.state = 'available' AND d.suspect = 0 ${notPassed(passed)}) a
       WHERE nth <= ${max}`,
      { names, keys, passed },
    );
    return new Map(rows.map(({ id, batch_key: key }) => [String(id), key]));
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

/** The first of some keys, as many as fit into a claim that has others already. */
function fitting(keys: readonly KeyRow[], wanted: KeysRequest, others: readonly KeyRow[]): KeyRow[] {
  const part: KeyRow[] = [];
  for (const key of keys) {
    if (isFull(wanted, [...others, ...part])) break;
    part.push(key);
  }
  return part;
}

/** Whether a claim takes no more keys. It takes one at least. */
function isFull({ limit, max }: KeysRequest, keys: readonly KeyRow[]): boolean {
  const size = keys.reduce((sum, { available }) => sum + Math.min(max, Number(available)), 0);
  return keys.length >= limit || size >= ROWS;
}
