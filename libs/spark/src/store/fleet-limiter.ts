import type { EntityManager } from 'typeorm';
import type { OpenQueue } from '../database/claim-queues.js';
import type { Dialect } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { FleetLimits } from '../handler/fleet-limits.js';
import { type Handler, namesOf } from '../handler/handler.registry.js';
import { counting, type RateRoom, roomAt, type Starts, started } from './rate-window.js';

/** A queue of a handler that has limits over all processes. */
export interface LimitedQueue extends OpenQueue {
  readonly owner: Handler & { readonly limits: FleetLimits };
}

/** A delivery that was claimed from a queue with limits. */
export interface LimitedClaim {
  readonly id: string;
  readonly queue: LimitedQueue;
  /** How many milliseconds after the claim its handler is called at the latest. */
  readonly delay: number;
}

/** What the limits leave for a claim. */
export interface Admission {
  /** How much may be claimed from each queue. */
  readonly rooms: ReadonlyMap<LimitedQueue, { readonly room: number; readonly most: number }>;
  /** For how many milliseconds each of the other queues cannot be claimed from. */
  readonly waits: ReadonlyMap<LimitedQueue, number>;
  /** The rows that the transaction has locked. */
  readonly rows: ReadonlyMap<string, LimitRow>;
  /** The time of the database. */
  readonly now: number;
}

interface LimitRow {
  readonly handler: string;
  readonly partition: string;
  starts: Starts;
  /** The ids of deliveries of the handler that are running, as far as that was checked. */
  running: readonly string[];
  isChanged: boolean;
}

// How long a queue waits whose row is locked or absent, in milliseconds. Another process is claiming from it.
const LOCKED = 20;
// How long a queue waits while all processes together handle as many deliveries as its handler may, in milliseconds.
const FULL = 250;
// How many rows are remembered as existing.
const MOST_KNOWN = 10_000;
// How long the row of a handler without a rate is kept after its last use, in milliseconds.
const KEPT = 60_000;

/**
 * The limits of handlers over all processes. Each limited handler, or each of its partitions, has a row that counts. A claim locks the
 * rows, so that no two claims of one row count at the same time, and writes what it has claimed in its own transaction.
 */
export class FleetLimiter {
  /** The rows that are known to exist. */
  private readonly known = new Set<string>();

  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

  /** Creates the rows of queues that have none. It runs before the transaction of the claim, which could wait for another insert. */
  async prepare(manager: EntityManager, queues: readonly LimitedQueue[]): Promise<void> {
    if (this.known.size > MOST_KNOWN) this.known.clear();
    const missing = keysOf(queues).filter(([handler, partition]) => !this.known.has(idOf(handler, partition)));
    for (const [handler, partition] of missing) {
      const where = 'handler = :handler AND partition_key = :partition';
      const found = await select(manager, `SELECT 1 FROM ${this.tables.limit} WHERE ${where}`, { handler, partition });
      const row = `INTO ${this.tables.limit} (handler, partition_key, starts, running, expires_at)
        VALUES (:handler, :partition, '[]', '[]', ${this.dialect.clock} + ${KEPT})`;
      if (found.length === 0) await execute(manager, this.dialect.insertOrIgnore(row), { handler, partition });
      this.known.add(idOf(handler, partition));
    }
  }

  /** Locks the rows of queues, and reads how much their limits leave. */
  async admit(manager: EntityManager, queues: readonly LimitedQueue[]): Promise<Admission> {
    const { rows, now } = await this.lock(manager, keysOf(queues));
    await this.dropEnded(manager, rows);
    const rooms = new Map<LimitedQueue, { room: number; most: number }>();
    const waits = new Map<LimitedQueue, number>();
    // Queues of one rate share its room: those of other priorities and of former names.
    const given = new Map<string, number>();
    for (const queue of queues) {
      const id = idOf(queue.owner.name, countedIn(queue));
      const { room, most, wait } = roomOf(queue, rows, now);
      const left = Math.min(most - (given.get(id) ?? 0), queue.most ?? queue.room);
      if (wait > 0) waits.set(queue, wait);
      else if (left > 0) {
        rooms.set(queue, { room, most: left });
        given.set(id, (given.get(id) ?? 0) + left);
      }
    }
    return { rooms, waits, rows, now };
  }

  /** Counts what was claimed, in the transaction of the claim. */
  async count(manager: EntityManager, { rows, now }: Admission, claimed: readonly LimitedClaim[]): Promise<void> {
    let expires = now + KEPT;
    for (const { id, queue, delay } of claimed) {
      const { rate, concurrency } = queue.owner.limits;
      if (rate) expires = Math.max(expires, now + delay + rate.per + KEPT);
      for (const name of namesOf(queue.owner)) {
        const row = rate && rows.get(idOf(name, countedIn(queue)))!;
        if (row) row.starts = started(counting(row.starts, rate, now), rate, 1, now + delay);
        const all = concurrency === undefined ? undefined : rows.get(idOf(name, ''))!;
        if (all) all.running = [...all.running, id];
        for (const changed of [row, all]) if (changed) changed.isChanged = true;
      }
    }
    for (const row of rows.values()) if (row.isChanged) await this.write(manager, row, expires);
  }

  /** Removes rows that count nothing any more. */
  async prune(manager: EntityManager): Promise<void> {
    const sql = `DELETE FROM ${this.tables.limit} WHERE expires_at < ${this.dialect.clock} AND running = '[]'`;
    await execute(manager, sql);
  }

  private async lock(manager: EntityManager, keys: readonly (readonly [string, string])[]) {
    const parameters: Record<string, string> = {};
    const wanted = keys.map(([handler, partition], i) => {
      Object.assign(parameters, { [`h${i}`]: handler, [`p${i}`]: partition });
      return `(handler = :h${i} AND partition_key = :p${i})`;
    });
    const found = await select<{
      handler: string;
      partition_key: string;
      starts: string;
      running: string;
      clock: string;
    }>(
      manager,
      `SELECT handler, partition_key, starts, running, ${this.dialect.clock} AS clock FROM ${this.tables.limit}
       WHERE ${wanted.join(' OR ')} ORDER BY handler, partition_key ${this.dialect.skipsLocked ? 'FOR UPDATE SKIP LOCKED' : ''}`,
      parameters,
    );
    const rows = new Map<string, LimitRow>(
      found.map(({ handler, partition_key: partition, starts, running }) => {
        const row = { handler, partition, starts: JSON.parse(starts), running: JSON.parse(running), isChanged: false };
        return [idOf(handler, partition), row];
      }),
    );
    // A row that is not there may have been removed since it was used last.
    for (const [handler, partition] of keys)
      if (!rows.has(idOf(handler, partition))) this.known.delete(idOf(handler, partition));
    return { rows, now: Number(found[0]?.clock ?? 0) };
  }

  /** Drops the deliveries from the lists that are not running any more. */
  private async dropEnded(manager: EntityManager, rows: ReadonlyMap<string, LimitRow>): Promise<void> {
    const ids = [...rows.values()].flatMap(({ running }) => running);
    if (ids.length === 0) return;
    const sql = `SELECT id FROM ${this.tables.delivery} WHERE id IN (:...ids) AND state = 'running'`;
    const still = new Set((await select<{ id: string }>(manager, sql, { ids })).map(({ id }) => id));
    for (const row of rows.values()) {
      const running = row.running.filter((id) => still.has(id));
      row.isChanged ||= running.length < row.running.length;
      row.running = running;
    }
  }

  private async write(manager: EntityManager, row: LimitRow, expires: number): Promise<void> {
    const { handler, partition, starts, running } = row;
    await execute(
      manager,
      `UPDATE ${this.tables.limit} SET starts = :starts, running = :running,
         expires_at = CASE WHEN expires_at > :expires THEN expires_at ELSE :expires END
       WHERE handler = :handler AND partition_key = :partition`,
      {
        handler,
        partition,
        starts: JSON.stringify(starts),
        running: JSON.stringify(running),
        expires: Math.ceil(expires),
      },
    );
  }
}

/**
 * How much may be claimed from a queue, or how long it waits. A handler that was renamed has a row for each name: processes of the release
 * before count in that of the former one, so all of them have to have room.
 */
function roomOf(queue: LimitedQueue, rows: ReadonlyMap<string, LimitRow>, now: number) {
  const { owner, room } = queue;
  const { rate, concurrency } = owner.limits;
  const own = namesOf(owner).map((name) => rows.get(idOf(name, countedIn(queue))));
  const all = namesOf(owner).map((name) => rows.get(idOf(name, '')));
  const isLocked = (rate && own.includes(undefined)) || (concurrency !== undefined && all.includes(undefined));
  if (isLocked) return { room: 0, most: 0, wait: LOCKED };
  const byRate: RateRoom[] = rate ? own.map((row) => roomAt(row!.starts, rate, now)) : [];
  const rateRoom = Math.min(...byRate.map(({ room: left }) => left));
  if (rateRoom <= 0) {
    const freeAt = Math.max(...byRate.filter(({ room: left }) => left <= 0).map((full) => full.freeAt));
    return { room: 0, most: 0, wait: Math.max(1, Math.ceil(freeAt - now)) };
  }
  const fleetRoom =
    concurrency === undefined ? Infinity : concurrency - Math.max(...all.map((row) => row!.running.length));
  if (fleetRoom <= 0) return { room: 0, most: 0, wait: FULL };
  const isByPartition = rate?.isByPartition ?? false;
  return {
    room: Math.min(room, fleetRoom, isByPartition ? Infinity : rateRoom),
    most: isByPartition ? rateRoom : Infinity,
    wait: 0,
  };
}

/** The partition whose row counts the starts of a queue. */
const countedIn = ({ owner, partition }: LimitedQueue): string => (owner.limits.rate?.isByPartition ? partition : '');

const idOf = (handler: string, partition: string): string => JSON.stringify([handler, partition]);

/** The rows that queues need, each once. */
function keysOf(queues: readonly LimitedQueue[]): (readonly [handler: string, partition: string])[] {
  const keys = new Map<string, readonly [string, string]>();
  for (const queue of queues) {
    const { rate, concurrency } = queue.owner.limits;
    for (const name of namesOf(queue.owner)) {
      if (rate) keys.set(idOf(name, countedIn(queue)), [name, countedIn(queue)]);
      if (concurrency !== undefined) keys.set(idOf(name, ''), [name, '']);
    }
  }
  return [...keys.values()];
}
