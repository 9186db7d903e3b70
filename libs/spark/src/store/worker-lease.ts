import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { backoffDelay } from '../config/backoff.js';
import type { Dialect } from '../database/dialect.js';
import type { OwnConnection } from '../database/own-connection.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { lineOf } from '../error/text-of.js';
import type { LeaseTimes } from '../config/spark.settings.js';

const LONGEST_PAUSE = 1_000;
// Rows that one statement frees: a database takes so many parameters.
const RESCUED = 1_000;
// How much sooner than usual a renewal that failed is tried again.
const AT_ONCE = 10;
/** How long a process that ends waits for an answer, in milliseconds. */
const LAST_LIMIT = 1_000;

/**
 * One lease a process: as long as it is renewed, what the process has claimed is its own. It goes by the database's
 * clock there, and here by a clock that only goes forward, from before the renewal was sent: this process gives up first.
 */
export class WorkerLease {
  private readonly logger = new Logger('Spark');
  private timer: NodeJS.Timeout | undefined;
  private expiry: NodeJS.Timeout | undefined;
  private until = 0;
  private stopped = true;
  private isLogged = false;
  private rescuing: Promise<void> | undefined;
  /** Those that wait for the lease: each is called when it is held again, or with why it is not. */
  private waiting: ((error?: Error) => void)[] = [];
  id = '';

  constructor(
    private readonly transactions: Transactions,
    /** What keeps the lease alive, whatever the application's connections are used for. */
    private readonly connection: OwnConnection,
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    private readonly times: LeaseTimes,
    private readonly onLost: () => void,
    /** Waits until what this process was at has ended and is written down, but not longer than so many milliseconds. */
    private readonly ended: (limit: number) => Promise<void>,
    private readonly onRescued: (deliveries: number) => void,
  ) {}

  /** Whether deliveries may be claimed and handled now. */
  get isHeld(): boolean {
    return !this.stopped && performance.now() < this.until;
  }

  /** Whether what was claimed under a lease may be handled now. */
  holds(id: string): boolean {
    return this.isHeld && this.id === id;
  }

  /** Takes a lease, if there is none yet. */
  async start(): Promise<void> {
    if (!this.stopped) return;
    await this.take();
    this.stopped = false;
    this.plan();
  }

  /** Resolves when the lease is held again, or given back. Throws what the next renewal fails with. */
  async regained(): Promise<void> {
    if (this.stopped || this.isHeld) return;
    await new Promise<void>((resolve, reject) =>
      this.waiting.push((error) => (error === undefined ? resolve() : reject(error))),
    );
  }

  private endWaiting(error?: Error): void {
    for (const end of this.waiting.splice(0)) end(error);
  }

  /**
   * Writes down what became of deliveries, again and again while the database is away: until then they count as running. Where the
   * database answers and refuses, that cannot be written as it is: `write` is told how often, and after the time of a lease it is thrown.
   * A lease that was lost meanwhile ends nothing: the fence of the statement says whether the deliveries are still this process's.
   */
  async insist<T>(write: (refused: number) => Promise<T>): Promise<T> {
    let refused = 0;
    let since = Infinity;
    for (let pause = 50; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        return await write(refused);
      } catch (error) {
        if (this.stopped) throw error;
        if (!(error instanceof NoAnswerError))
          this.logger.warn(`What became of deliveries cannot be written down yet: ${lineOf(error)}`);
        const isRefusal = !(error instanceof NoAnswerError) && (await this.answers());
        since = isRefusal ? Math.min(since, performance.now()) : Infinity;
        if (performance.now() - since > this.times.ttl) throw error;
        if (isRefusal) refused++;
        await delay(pause);
      }
    }
  }

  private answers(): Promise<boolean> {
    return select(this.transactions.manager, 'SELECT 1').then(
      () => true,
      () => false,
    );
  }

  /** Gives the lease back. What is still claimed under it is free for others at once. */
  async stop(): Promise<void> {
    if (this.stopped) return this.connection.close();
    this.stopped = true;
    this.endWaiting();
    clearTimeout(this.timer);
    clearTimeout(this.expiry);
    this.connection.shorten(LAST_LIMIT);
    try {
      await this.remove();
      await this.rescuing;
      await this.rescue();
    } catch (error) {
      this.logger.warn(`The lease of this process could not be given back, and expires by itself: ${lineOf(error)}`);
    }
    await this.connection.close();
  }

  private plan(pause = this.times.renew): void {
    this.timer = setTimeout(() => void this.renewInTime(), pause * (0.9 + Math.random() / 5));
  }

  private async renewInTime(): Promise<void> {
    const isRenewed = await this.keep();
    if (this.stopped) return;
    // There is time for one more try, and no time to lose.
    this.plan(isRenewed ? this.times.renew : this.times.renew / AT_ONCE);
    // It waits for the application's connections, and renewals do not wait for it.
    if (isRenewed) this.rescuing ??= this.tryToRescue().finally(() => (this.rescuing = undefined));
  }

  private async keep(): Promise<boolean> {
    try {
      if (!(await this.renew())) await this.replace();
      if (this.isLogged) this.logger.log('The lease of this process is renewed again.');
      this.isLogged = false;
      this.endWaiting();
      return true;
    } catch (error) {
      const words = 'This is said once, and once more when it is over.';
      if (!this.isLogged)
        this.logger.warn(`The lease of this process could not be renewed: ${lineOf(error)}. ${words}`);
      this.isLogged = true;
      this.endWaiting(error as Error);
      return false;
    }
  }

  private async tryToRescue(): Promise<void> {
    try {
      await this.rescue();
    } catch (error) {
      if (!(error instanceof NoAnswerError))
        this.logger.warn(`Deliveries of processes that are gone could not be freed yet: ${lineOf(error)}`);
    }
  }

  private async take(): Promise<void> {
    // Each try has a name of its own: one that failed here may have arrived there.
    this.id = randomUUID();
    const started = performance.now();
    const { ttl } = this.times;
    const row = { id: this.id, ttl, host: hostname(), pid: process.pid };
    const transactions = await this.connection.transactions();
    await transactions.run((manager) =>
      execute(
        manager,
        `INSERT INTO ${this.tables.worker} (id, lease_until, host, pid, started_at)
         VALUES (:id, ${this.dialect.clock} + :ttl, :host, :pid, ${this.dialect.clock})`,
        row,
      ),
    );
    this.extend(started);
  }

  /** Whether the lease was still there. */
  private async renew(): Promise<boolean> {
    const { manager } = await this.connection.transactions();
    const started = performance.now();
    // A statement by itself: a process that is stalled in the middle of a transaction would hold its row against rescuers.
    const renewal = `UPDATE ${this.tables.worker} SET lease_until = ${this.dialect.clock} + :ttl WHERE id = :id`;
    const { affected } = await execute(manager, renewal, { id: this.id, ttl: this.times.ttl });
    // An expired lease that nobody has noticed is as good as lost: its handlers were told to stop.
    if (affected !== 1 || performance.now() >= this.until) return false;
    this.extend(started);
    return true;
  }

  // By the timer, not by the time: one that rings a moment early must not leave handlers at work.
  private expire(): void {
    this.until = 0;
    this.onLost();
  }

  /**
   * The lease was lost, or expired before it was renewed: this process goes on under a new name. Where nobody has taken it, what
   * handlers have done meanwhile is still this process's to write down.
   */
  private async replace(): Promise<void> {
    this.expire();
    await this.ended(this.times.ttl / 3);
    await this.remove();
    await this.take();
  }

  private async remove(): Promise<void> {
    const transactions = await this.connection.transactions();
    await transactions.run((manager) =>
      execute(manager, `DELETE FROM ${this.tables.worker} WHERE id = :id`, { id: this.id }),
    );
  }

  private extend(started: number): void {
    // A sixth of the time is left for the other clock and for handlers to stop.
    this.until = started + (this.times.ttl * 5) / 6;
    clearTimeout(this.expiry);
    this.expiry = setTimeout(() => this.expire(), this.until - performance.now());
    this.expiry.unref();
  }

  /**
   * Frees what dead processes had claimed. Each such delivery is a suspect: it may be what killed its process. Its attempt
   * is only counted when it is claimed again, alone. One whose process died while it was alone waits, longer each time.
   */
  private async rescue(): Promise<void> {
    const { worker } = this.tables;
    const lock = this.dialect.skipsLocked ? 'FOR UPDATE SKIP LOCKED' : '';
    const expired = `SELECT id FROM ${worker} WHERE lease_until < ${this.dialect.clock} ${lock}`;
    await this.transactions.run(async (manager) => {
      const dead = (await select<{ id: string }>(manager, expired)).map(({ id }) => id);
      if (dead.length > 0) await execute(manager, `DELETE FROM ${worker} WHERE id IN (:...ids)`, { ids: dead });
    });
    let rescued = 0;
    for (let last = RESCUED; last === RESCUED; rescued += last)
      last = await this.transactions.run((manager) => this.free(manager, lock));
    if (rescued > 0) this.onRescued(rescued);
  }

  /** Frees some of them. Returns how many. What is locked belongs to somebody who is at work on it, or stalled; it is freed later. */
  private async free(manager: EntityManager, lock: string): Promise<number> {
    const { worker, delivery } = this.tables;
    const left = await select<{ id: string; suspect: number; attempt: number }>(
      manager,
      `SELECT d.id, d.suspect, d.attempt FROM ${delivery} d WHERE d.state = 'running'
       AND NOT EXISTS (SELECT 1 FROM ${worker} w WHERE w.id = d.claimed_by) LIMIT ${RESCUED} ${lock}`,
    );
    const freed = `UPDATE ${delivery} SET state = 'available', claimed_by = NULL`;
    const beside = left.filter(({ suspect }) => Number(suspect) === 0).map(({ id }) => id);
    if (beside.length > 0)
      await execute(manager, `${freed}, attempt = attempt - 1, suspect = 1 WHERE id IN (:...ids)`, { ids: beside });
    for (const { id, suspect, attempt } of left)
      if (Number(suspect) === 1) {
        const pause = backoffDelay(Number(attempt));
        await execute(manager, `${freed}, due_at = started_at + :pause WHERE id = :id`, { id, pause });
      }
    return left.length;
  }
}
