import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { SparkLog } from '../common/spark-log.js';
import type { Dialect } from '../database/dialect.js';
import type { OwnConnection } from '../database/own-connection.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { lineOf } from '../error/text-of.js';
import type { LeaseTimes } from '../config/spark.settings.js';
import type { Rescue } from './rescue.js';

const LONGEST_PAUSE = 1_000;
// A renewal that failed is retried after the usual time divided by this.
const AT_ONCE = 10;
/** How long a process that ends waits for an answer, in milliseconds. */
const LAST_LIMIT = 1_000;

/**
 * The lease of this process. While the process renews it, no other process may take over the deliveries that it has claimed. In the
 * database the lease ends by the database's clock. The local deadline is monotonic and starts before the renewal is sent, so this
 * process always stops before others may take over.
 */
export class WorkerLease {
  private readonly logger = new SparkLog();
  private timer: NodeJS.Timeout | undefined;
  private expiry: NodeJS.Timeout | undefined;
  private until = 0;
  private stopped = true;
  private isLogged = false;
  private rescuing: Promise<void> | undefined;
  /** Called when the lease is held again, or with the error of the renewal. */
  private waiting: ((error?: Error) => void)[] = [];
  id = '';

  constructor(
    private readonly transactions: Transactions,
    /** The connection that renews the lease. It does not depend on the application's connections. */
    private readonly connection: OwnConnection,
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    private readonly times: LeaseTimes,
    private readonly rescuer: Rescue,
    /** The channel on which other processes can notify this one. */
    private readonly channel: () => string,
    private readonly onLost: () => void,
    /** Waits until the attempts of this process are settled, for up to `limit` milliseconds. */
    private readonly ended: (limit: number) => Promise<void>,
    private readonly onRescued: (deliveries: number) => void,
  ) {}

  /** Whether deliveries may be claimed and handled now. */
  get isHeld(): boolean {
    return !this.stopped && performance.now() < this.until;
  }

  /** Whether this process has taken a lease since it started, and has not given it back. It may be lost meanwhile. */
  get isTaken(): boolean {
    return !this.stopped;
  }

  /** Whether deliveries that were claimed under the lease `id` may be handled now. */
  holds(id: string): boolean {
    return this.isHeld && this.id === id;
  }

  /** Takes a lease, if this process has none yet. */
  async start(): Promise<void> {
    if (!this.stopped) return;
    await this.take();
    this.stopped = false;
    this.plan();
  }

  /** Resolves when the lease is held again, or given back. Throws the error of the next renewal if that fails. */
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
   * Settles deliveries, and retries while the database does not answer. Until then they count as running. If the database answers and
   * refuses the statement, `write` gets the number of refusals, so that it can write something else. After refusals for as long as a
   * lease lasts, the error is thrown. A lease that was lost meanwhile does not end the retries: the fence in the statement finds out
   * whether the deliveries still belong to this process.
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
          this.logger.warn(`Deliveries cannot be settled yet, and Spark tries again: ${lineOf(error)}`, { error });
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

  /** Gives the lease back. Deliveries that are still claimed under it are free for other processes at once. */
  async stop(): Promise<void> {
    if (this.stopped) return this.connection.close();
    this.stopped = true;
    this.endWaiting();
    clearTimeout(this.timer);
    clearTimeout(this.expiry);
    this.connection.shorten(LAST_LIMIT);
    try {
      await this.retire();
      await this.rescuing;
      this.reportRescued(await this.rescuer.of(this.id));
    } catch (error) {
      this.logger.warn(`The lease of this process could not be given back. It expires by itself: ${lineOf(error)}`, {
        error,
      });
    }
    await this.connection.close();
  }

  private plan(pause = this.times.renew): void {
    this.timer = setTimeout(() => void this.renewInTime(), pause * (0.9 + Math.random() / 5));
  }

  private async renewInTime(): Promise<void> {
    const isRenewed = await this.keep();
    if (this.stopped) return;
    // After a failure there is little time left for one more try.
    this.plan(isRenewed ? this.times.renew : this.times.renew / AT_ONCE);
    // The rescue uses the application's connections and may wait for them, so renewals do not wait for the rescue.
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
      const words = 'Spark logs this once, and again when it is over.';
      if (!this.isLogged)
        this.logger.warn(`The lease of this process could not be renewed: ${lineOf(error)}. ${words}`, { error });
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
        this.logger.warn(
          `Deliveries of dead processes could not be freed yet, and Spark tries again: ${lineOf(error)}`,
          { error },
        );
    }
  }

  private async take(): Promise<void> {
    // Each try has its own id: a try that threw may have committed on the server.
    this.id = randomUUID();
    const started = performance.now();
    const { ttl } = this.times;
    const row = { id: this.id, ttl, host: hostname(), pid: process.pid, channel: this.channel() };
    const transactions = await this.connection.transactions();
    await transactions.run((manager) =>
      execute(
        manager,
        `INSERT INTO ${this.tables.worker} (id, lease_until, host, pid, started_at, channel)
         VALUES (:id, ${this.dialect.clock} + :ttl, :host, :pid, ${this.dialect.clock}, :channel)`,
        row,
      ),
    );
    this.extend(started);
  }

  /** Renews the lease. Returns false if it was lost. */
  private async renew(): Promise<boolean> {
    const { manager } = await this.connection.transactions();
    const started = performance.now();
    // A single statement, not a transaction: a process that stalls within a transaction would keep its row locked for the rescue.
    const changes = `lease_until = ${this.dialect.clock} + :ttl, channel = :channel`;
    const renewal = `UPDATE ${this.tables.worker} SET ${changes} WHERE id = :id`;
    const { affected } = await execute(manager, renewal, { id: this.id, ttl: this.times.ttl, channel: this.channel() });
    // A lease that expired locally counts as lost, even if its row is still there: its handlers were aborted.
    if (affected !== 1 || performance.now() >= this.until) return false;
    this.extend(started);
    return true;
  }

  // Sets `until` to 0 instead of comparing times: if the timer fires a moment early, the lease must count as expired all the same.
  private expire(): void {
    this.until = 0;
    this.onLost();
  }

  /**
   * Takes a new lease after the old one was lost, or expired before it was renewed. It waits for running attempts first: if no other
   * process has taken their deliveries over, this process can still settle them.
   */
  private async replace(): Promise<void> {
    this.expire();
    await this.ended(this.times.ttl / 3);
    await this.retire();
    await this.take();
  }

  /** Ends the lease in the database. Its row stays until the deliveries that are still claimed under it are freed. */
  private async retire(): Promise<void> {
    const transactions = await this.connection.transactions();
    await transactions.run((manager) =>
      execute(manager, `UPDATE ${this.tables.worker} SET lease_until = 0 WHERE id = :id`, { id: this.id }),
    );
  }

  private extend(started: number): void {
    // A sixth of the time is left for the difference of the clocks, and for handlers to stop.
    this.until = started + (this.times.ttl * 5) / 6;
    clearTimeout(this.expiry);
    this.expiry = setTimeout(() => this.expire(), this.until - performance.now());
    this.expiry.unref();
  }

  /** Frees the deliveries of processes whose lease has expired. */
  private async rescue(): Promise<void> {
    this.reportRescued(await this.rescuer.ofExpired());
  }

  private reportRescued(deliveries: number): void {
    if (deliveries > 0) this.onRescued(deliveries);
  }
}
