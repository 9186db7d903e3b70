import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import { execute } from '../database/statement.js';
import { postgresPoolOf } from '../database/typeorm-internals.js';
import type { TableNames } from '../database/table-names.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { lineOf } from '../error/text-of.js';
import type { Dialect } from '../database/dialect.js';
import { readNotification, writeNotification } from './notification.js';
import { ALL_WORK, NO_WORK, type Notifier, type OnNotified, type Work } from './notifier.js';
import { Outbox, type Reach } from './outbox.js';
import { type Next, WorkerChannels } from './worker-channels.js';

/** The parts of a client of the package pg that are used here. */
interface Client {
  connect(): Promise<unknown>;
  query(sql: string | { name: string; text: string; values: unknown[] }): Promise<{ rows: unknown[] }>;
  end(): Promise<void>;
  readonly connection?: { readonly stream: { destroy(): void } };
  on(event: 'notification', listener: (message: { channel: string; payload?: string }) => void): unknown;
  on(event: 'error' | 'end', listener: (error?: Error) => void): unknown;
}

interface Pool {
  readonly Client: new (options: object) => Client;
  readonly options: object;
}

const NOTIFY = { name: 'spark-notify', text: 'SELECT pg_notify($1, $2)' };
/** How long the test of NOTIFY waits, in milliseconds. */
const TEST = 2_000;
const LONGEST_PAUSE = 30_000;
/** How long a connection may take to end, in milliseconds. */
const LAST_LIMIT = 1_000;

/**
 * The notifier for PostgreSQL: NOTIFY and LISTEN on a connection of its own. It never notifies in a transaction of the application:
 * PostgreSQL lets only one transaction that notifies commit at a time.
 */
export class PostgresNotifier implements Notifier {
  private readonly logger = new SparkLog();
  private readonly id = randomUUID() as string;
  /** The channel of all processes. */
  private readonly common: string;
  /** The channel of this process alone. */
  private readonly own: string;
  private readonly stopping = new AbortController();
  private client: Client | undefined;
  /** What this process sends on its connection. */
  private outbox: Outbox | undefined;
  private listening: Promise<void> = Promise.resolve();
  /** The last statement of the client. */
  private asked: Promise<unknown> = Promise.resolve();
  /** Whether notifications of other processes do not arrive at present, and this was logged. */
  private isInterrupted = false;
  private passedTest = () => undefined as void;

  constructor(
    private readonly dataSource: DataSource,
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    /** How long it waits for an answer, in milliseconds. */
    private readonly limit: number,
    private readonly onNotified: OnNotified,
  ) {
    // A hash, because the name of a channel must be shorter than the name of a table may be.
    this.common = `spark_${createHash('sha256').update(tables.plain.event).digest('hex').slice(0, 32)}`;
    this.own = `${this.common}_${this.id.slice(0, 18).replaceAll('-', '')}`;
  }

  get channel(): string {
    return this.client ? this.own : '';
  }

  start(): void {
    this.listening = this.listen();
  }

  notifyAll(work: Work): void {
    this.outbox?.add('all', work);
  }

  notifyOne(work: Work): void {
    this.outbox?.add('one', work);
  }

  hint(work: Work): void {
    this.outbox?.add('hint', work);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.listening;
  }

  /** Listens until it is stopped. If a connection is lost, it connects again. */
  private async listen(): Promise<void> {
    const { signal } = this.stopping;
    for (let pause = 100; !signal.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        if (!(await this.listenOnce(() => (pause = 100)))) return;
      } catch (error) {
        if (!this.isInterrupted)
          this.logger.warn(
            `Notifications of other processes do not arrive for now, so Spark only polls: ${lineOf(error)}`,
            { error },
          );
        this.isInterrupted = true;
      }
      await delay(pause, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Listens until the connection is lost. Returns false when it must not try again. */
  private async listenOnce(connected: () => void): Promise<boolean> {
    const { signal } = this.stopping;
    const pool = postgresPoolOf<Pool>(this.dataSource);
    const client = new pool.Client({ ...pool.options, keepAlive: true });
    const lost = new Promise<never>((_, reject) => {
      client.on('error', (error) => reject(error!));
      client.on('end', () => reject(new Error('the connection was closed')));
    });
    const ending = new AbortController();
    const stopped = new Promise<false>((resolve) =>
      signal.addEventListener('abort', () => resolve(false), { signal: ending.signal }),
    );
    lost.catch(() => undefined);
    try {
      if ((await Promise.race([this.inTime(client.connect()), lost, stopped])) === false) return false;
      client.on('notification', ({ channel, payload }) => this.receive(channel, payload));
      const listen = `LISTEN ${this.common}; LISTEN ${this.own}`;
      if ((await Promise.race([this.inTime(client.query(listen)), lost, stopped])) === false) return false;
      if (!(await Promise.race([this.test(), lost, stopped]))) return false;
      this.client = client;
      this.outbox = this.outboxOf(client);
      this.asked = Promise.resolve();
      connected();
      if (this.isInterrupted) this.logger.log('Notifications of other processes arrive again.');
      this.isInterrupted = false;
      // Notifications from before the LISTEN are lost.
      this.onNotified(ALL_WORK, false);
      return await Promise.race([lost, stopped, this.probe(client, ending.signal)]);
    } finally {
      ending.abort();
      this.client = this.outbox = undefined;
      const ended = client.end().catch(() => undefined);
      await Promise.race([ended, delay(LAST_LIMIT, undefined, { ref: false })]);
      client.connection?.stream.destroy();
    }
  }

  private outboxOf(client: Client): Outbox {
    const rows = async (sql: string) => (await this.ask(client, sql)).rows as { channel: string | null }[];
    const workers = new WorkerChannels(this.dialect, this.tables, this.own, rows);
    return new Outbox(async (reach, work) => {
      const to = reach === 'all' ? reach : await workers.next();
      const channel = this.channelOf(reach, to);
      if (channel === undefined) return;
      const isAlone = reach === 'one' && channel !== this.common;
      const payload = writeNotification({ from: this.id, work, isAlone });
      await this.ask(client, { ...NOTIFY, values: [channel, payload] });
    });
  }

  /** Without a process to notify alone, work that this process cannot do is for all. */
  private channelOf(reach: Reach, to: Next): string | undefined {
    if (to === 'nobody') return reach === 'hint' ? undefined : this.common;
    return to === 'all' ? this.common : to.channel;
  }

  /** Sends a query again and again: a connection that went silent has no event for its loss. */
  private async probe(client: Client, signal: AbortSignal): Promise<never> {
    for (;;) {
      await delay(this.limit / 3, undefined, { signal, ref: false });
      await this.inTime(this.ask(client, 'SELECT 1'));
    }
  }

  // Sends one statement after the other, because pg no longer supports overlapping queries on a client.
  private ask(client: Client, statement: Parameters<Client['query']>[0]): Promise<{ rows: unknown[] }> {
    const answer = this.asked.then(() => client.query(statement));
    this.asked = answer.catch(() => undefined);
    return answer;
  }

  private async inTime<T>(answer: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => setImmediate(() => reject(new NoAnswerError(this.limit))), this.limit);
      timer.unref();
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether a notification from another connection arrives. Behind some poolers, it does not. */
  private async test(): Promise<boolean> {
    const ending = new AbortController();
    const arrived = new Promise<boolean>((resolve) => (this.passedTest = () => resolve(true)));
    const payload = writeNotification({ from: this.id, work: NO_WORK, isAlone: false });
    await execute(this.dataSource.manager, 'SELECT pg_notify(:channel, :payload)', { channel: this.own, payload });
    const late = delay(TEST, false, { signal: ending.signal }).catch(() => false);
    const hasArrived = await Promise.race([arrived, late]);
    ending.abort();
    if (!hasArrived && !this.stopping.signal.aborted)
      this.logger.warn(
        'Notifications (NOTIFY) do not arrive here, as behind a pooler in transaction mode. Processes find new work by polling only.',
      );
    return hasArrived;
  }

  private receive(channel: string, payload: string | undefined): void {
    const { from, work, isAlone } = readNotification(payload);
    if (from === this.id) return this.passedTest();
    if (channel === this.common) this.outbox?.count();
    this.onNotified(work, isAlone);
  }
}
