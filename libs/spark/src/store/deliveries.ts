import type { EntityManager, ObjectLiteral } from 'typeorm';
import type { ClaimedRow, ClaimRequest, Dialect, Dispatched, TakeOver } from '../database/dialect.js';
import { ON_ITS_WAY, OURS, SET, UNCHARGED } from '../database/delivery-columns.js';
import type { Entry } from '../database/event-columns.js';
import type { FoundQueue, OpenQueue } from '../database/claim-queues.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { countDue, type DueRequest } from './due-deliveries.js';
import type { ClaimedFor, DigestClaims, DueDigests, KeysRequest } from './digest-claims.js';
import type { Gathered, KeyedDelivery } from './gathered.js';

/** A delivery that this process has claimed: one event for one handler. */
export interface Delivery {
  readonly id: string;
  readonly handler: string;
  /** The value of the field by which the handler's deliveries are partitioned; '' for those that are not. */
  readonly partition: string;
  readonly attempt: number;
  /** Since when it was due, in epoch ms. */
  readonly due: number;
  readonly worker: string;
  /** The number of its event. */
  readonly eventId: string;
  readonly event: Entry;
  /** When its event was entered, in epoch ms. */
  readonly recorded: number;
  /** Until when its handler may be called, by `performance.now()`. Default: no limit of time. */
  readonly startBy?: number;
  /** The key of its digest; undefined if it was not claimed as a part of one. */
  readonly digest?: DigestKey | undefined;
  /** Whether a carrier has brought it. */
  readonly isCarried?: boolean;
}

/** Selects deliveries that are on their way. */
export interface Recalled {
  readonly ids: readonly string[];
  /** Only those that a process has sent under this lease. */
  readonly by?: string;
  /** Only those of paused handlers. */
  readonly isPaused?: boolean;
}

/** The key of a digest. */
export interface DigestKey {
  readonly key: string;
  /** How long after a call that succeeds there is no other of the key, in milliseconds. */
  readonly throttle: number | undefined;
}

/** A delivery whose handler has ended well. */
export interface Done {
  readonly delivery: Delivery;
  readonly durationMs: number;
}

/** The statements that claim and settle deliveries. They change no delivery that is not ours any more (see `ours`). */
export class Deliveries {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    /** Whether completed deliveries are kept. */
    private readonly history: boolean,
    private readonly gathered: Gathered,
    private readonly digests: DigestClaims,
  ) {}

  /** The queues of these handlers that have available deliveries, due or not. */
  queuesOf(manager: EntityManager, handlers: readonly string[]): Promise<FoundQueue[]> {
    return this.dialect.queuesOf(manager, handlers);
  }

  /** Those queues of a claim that may have something to claim. It is asked before the transaction of the claim. */
  waiting<Q extends OpenQueue>(manager: EntityManager, request: ClaimRequest<Q>): Promise<readonly Q[]> {
    return this.dialect.waiting(manager, request);
  }

  /** Claims available deliveries, with their events. */
  async claim(manager: EntityManager, request: ClaimRequest): Promise<{ deliveries: Delivery[]; isMore: boolean }> {
    const { rows, isMore } = await this.dialect.claim(manager, request);
    const deliveries = rows.map((row) => deliveryFrom(row, request.worker));
    return { deliveries, isMore };
  }

  /** Dispatches available deliveries: a carrier brings them to a process. Those that get lost are due again at the instant `due`. */
  dispatch(manager: EntityManager, request: ClaimRequest, due: number): Promise<Dispatched> {
    return this.dialect.dispatch(manager, request, Math.ceil(due));
  }

  /** Claims those of some deliveries that are on their way, with their events. */
  async takeOver(manager: EntityManager, request: TakeOver): Promise<Delivery[]> {
    const rows = await this.dialect.takeOver(manager, { ...request, ttl: Math.ceil(request.ttl) });
    return rows.map((row) => ({ ...deliveryFrom(row, request.worker), isCarried: true }));
  }

  /** Makes deliveries that are on their way available again, from `due` on. Returns how many. */
  async recall(manager: EntityManager, { ids, by, isPaused }: Recalled, due: number): Promise<number> {
    const { delivery, pause } = this.tables;
    const own = by === undefined ? '' : 'AND claimed_by = :by';
    const paused = isPaused ? `AND handler IN (SELECT handler FROM ${pause})` : '';
    const { affected } = await execute(
      manager,
      `UPDATE ${delivery} ${this.dialect.byKey} SET ${SET.recalled} WHERE id IN (:...ids) AND ${ON_ITS_WAY} ${own} ${paused}`,
      { ids, by, due: Math.ceil(due) },
    );
    return affected ?? 0;
  }

  /** How many deliveries are due in some queues, counted up to `most`, and since when the first is, in epoch ms. */
  countDue(manager: EntityManager, queues: readonly OpenQueue[], request: DueRequest, most: number) {
    return countDue(manager, this.tables, queues, request, most);
  }

  /** What is due in the queues of a handler of digests. */
  dueDigests(manager: EntityManager, queues: readonly OpenQueue[], request: DueRequest): Promise<DueDigests> {
    return this.digests.due(manager, queues, request);
  }

  /** Claims deliveries of digests whose keys are not known yet. */
  async claimFresh(manager: EntityManager, by: ClaimedFor, ids: readonly string[]): Promise<Delivery[]> {
    return (await this.digests.claimFresh(manager, by, ids)).map((row) => deliveryFrom(row, by.worker));
  }

  /**
   * Claims digests: the deliveries of each key. Those of a key that was called less than `throttle` milliseconds ago wait; `onPostponed`
   * is called with until when.
   */
  async claimDigests(
    manager: EntityManager,
    wanted: KeysRequest,
    throttle: number | undefined,
    onPostponed: (until: number) => void,
  ): Promise<Delivery[][]> {
    const throttled = throttle === undefined ? undefined : await this.gathered.throttled(manager, wanted);
    for (const [key, until] of throttled ?? []) {
      await this.gathered.postpone(manager, wanted.names, key, until);
      onPostponed(until);
    }
    const keys = wanted.keys.filter((key) => !throttled?.has(key));
    if (keys.length === 0) return [];
    const claimed = await this.digests.claimKeys(manager, { ...wanted, keys });
    return claimed.map(({ key, rows }) =>
      rows.map((row) => ({ ...deliveryFrom(row, wanted.worker), digest: { key, throttle } })),
    );
  }

  /** Lets deliveries of one worker at one attempt wait with others of their keys. Returns the ids of those that were still ours. */
  gather(manager: EntityManager, waiting: readonly KeyedDelivery[]): Promise<Set<string>> {
    return this.gathered.add(manager, waiting);
  }

  /**
   * Completes deliveries of one worker at one attempt, or removes them if no history is kept. Returns the ids of those that were
   * still ours. With digests among them, it needs a transaction.
   */
  async complete(manager: EntityManager, done: readonly Done[], now: number): Promise<Set<string>> {
    const { history } = this;
    const { worker, attempt } = done[0]!.delivery;
    const rows = done.map(({ delivery: { id }, durationMs }) => ({ id, durationMs }));
    const ours = await this.dialect.complete(manager, { worker, attempt, done: rows, now, history });
    const digests = done.filter(isOfDigest).map(({ delivery }) => delivery);
    if (digests.length > 0)
      await this.completeDigests(
        manager,
        digests.filter(({ id }) => ours.has(id)),
        now,
      );
    return ours;
  }

  private async completeDigests(manager: EntityManager, completed: readonly Delivery[], now: number): Promise<void> {
    await this.gathered.remove(
      manager,
      completed.map(({ id }) => id),
    );
    const throttled = new Map<string, Delivery>();
    for (const delivery of completed)
      if (delivery.digest?.throttle !== undefined)
        throttled.set(JSON.stringify([delivery.handler, delivery.digest.key]), delivery);
    // Sorted, so that two transactions do not wait for each other.
    for (const [, { handler, digest }] of [...throttled].sort(([a], [b]) => (a < b ? -1 : 1)))
      await this.gathered.throttle(manager, handler, digest!.key, now + digest!.throttle!);
  }

  /**
   * Stores how long deliveries took that this transaction has completed. Returns whether they are still completed: the handler may have
   * ended the transaction and swallowed the error.
   */
  async confirmCompleted(manager: EntityManager, completed: readonly Delivery[], durationMs: number): Promise<boolean> {
    const { delivery } = this.tables;
    const ids = completed.map(({ id }) => id);
    const those = ids.length === 1 ? 'id = :ids' : 'id IN (:...ids)';
    const parameters = { ids: ids.length === 1 ? ids[0] : ids, ms: durationMs };
    if (!this.history)
      return (await select(manager, `SELECT id FROM ${delivery} WHERE ${those}`, parameters)).length === 0;
    const update = `UPDATE ${delivery} SET duration_ms = :ms WHERE ${those} AND state = 'completed'`;
    return (await execute(manager, update, parameters)).affected === ids.length;
  }

  /** Makes a delivery available again from `due` on. Without a `fingerprint` the attempt has not failed, and does not count. */
  async retry(
    manager: EntityManager,
    delivery: Delivery,
    due: number,
    error: string,
    fingerprint: string | undefined,
  ): Promise<boolean> {
    const changes = fingerprint === undefined ? `${SET.retried}, ${UNCHARGED}` : SET.retried;
    return this.end(manager, delivery, changes, { due: Math.ceil(due), error, fingerprint: fingerprint ?? null });
  }

  /** Skips a delivery whose event does not hold any more. Its handler was not called. */
  async skip(manager: EntityManager, delivery: Delivery, now: number, reason: string): Promise<boolean> {
    return this.endForever(manager, delivery, SET.skipped, { now, reason });
  }

  /** Discards a delivery. Without a `fingerprint` the error of its last attempt stays, if there was one. */
  async discard(
    manager: EntityManager,
    delivery: Delivery,
    now: number,
    error: string,
    fingerprint: string | undefined,
  ): Promise<boolean> {
    const changes = fingerprint === undefined ? SET.discarded : SET.failed;
    return this.endForever(manager, delivery, changes, { now, error, fingerprint });
  }

  /** Gives back a delivery that was claimed and not finished. It is available at once, or from `due` on. The attempt does not count. */
  async giveBack(manager: EntityManager, delivery: Delivery, due?: number): Promise<boolean> {
    if (due === undefined) return this.end(manager, delivery, SET.givenBack, {});
    return this.end(manager, delivery, `${SET.givenBack}, due_at = :due`, { due: Math.ceil(due) });
  }

  /** Gives back all deliveries of a worker except `kept`: a claim that threw may have committed on the server. */
  async giveBackOthers(manager: EntityManager, worker: string, kept: readonly Delivery[]): Promise<void> {
    const others = kept.length === 0 ? '' : ' AND id NOT IN (:...ids)';
    await execute(
      manager,
      `UPDATE ${this.tables.delivery} SET ${SET.givenBack} WHERE state = 'running' AND claimed_by = :worker${others}`,
      { worker, ids: kept.map(({ id }) => id) },
    );
  }

  private async endForever(
    manager: EntityManager,
    delivery: Delivery,
    changes: string,
    extra: object,
  ): Promise<boolean> {
    const isOurs = await this.end(manager, delivery, changes, extra);
    if (isOurs && delivery.digest) await this.gathered.remove(manager, [delivery.id]);
    return isOurs;
  }

  private async end(manager: EntityManager, delivery: Delivery, changes: string, extra: object): Promise<boolean> {
    const { sql, parameters } = this.ours(delivery);
    const update = `UPDATE ${this.tables.delivery} SET ${changes} WHERE ${sql}`;
    const { affected } = await execute(manager, update, { ...parameters, ...extra });
    return affected === 1;
  }

  /** The fence. A delivery is ours as long as it is running under the lease and at the attempt with which this process has claimed it. */
  private ours({ id, attempt, worker }: Delivery): { sql: string; parameters: ObjectLiteral } {
    return { sql: `id = :id AND ${OURS}`, parameters: { id, attempt, worker } };
  }
}

/** Whether a completion needs more than one statement. */
export const isOfDigest = ({ delivery: { digest } }: Done): boolean => digest !== undefined;

function deliveryFrom(row: ClaimedRow, worker: string): Delivery {
  return {
    id: String(row.id),
    handler: row.handler,
    partition: row.partition_key,
    attempt: Number(row.attempt),
    due: Number(row.due_at),
    worker,
    eventId: String(row.event_id),
    event: row.event,
    recorded: Number(row.recorded_at),
  };
}
