import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { execute } from '../database/statement.js';
import { postgresPoolOf } from '../database/typeorm-internals.js';
import type { TableNames } from '../database/table-names.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { lineOf } from '../error/text-of.js';
import type { Notifier, Work } from './notifier.js';

/** What is used of a client of the package pg. */
interface Client {
  connect(): Promise<unknown>;
  query(sql: string | { name: string; text: string; values: unknown[] }): Promise<unknown>;
  end(): Promise<void>;
  readonly connection?: { readonly stream: { destroy(): void } };
  on(event: 'notification', listener: (message: { payload?: string }) => void): unknown;
  on(event: 'error' | 'end', listener: (error?: Error) => void): unknown;
}

interface Pool {
  readonly Client: new (options: object) => Client;
  readonly options: object;
}

const NOTIFY = { name: 'spark-notify', text: 'SELECT pg_notify($1, $2)' };
const TOGETHER = 10;
const TEST = 2_000;
const LONGEST_PAUSE = 30_000;
/** How long a connection is given to end, in milliseconds. */
const LAST_LIMIT = 1_000;

/**
 * PostgreSQL: NOTIFY and LISTEN on a connection of its own, never in a user's transaction, whose commit would have to wait
 * for those of all others that notify.
 */
export class PostgresNotifier implements Notifier {
  private readonly logger = new Logger('Spark');
  private readonly id = randomUUID() as string;
  private readonly channel: string;
  private readonly stopping = new AbortController();
  private client: Client | undefined;
  private listening: Promise<void> = Promise.resolve();
  private unsent: Work | undefined;
  private resting = false;
  /** What was asked last of the client. */
  private asked: Promise<unknown> = Promise.resolve();
  private isDeaf = false;
  private passedTest = () => undefined as void;

  constructor(
    private readonly dataSource: DataSource,
    { plain }: TableNames,
    /** How long an answer is waited for, in milliseconds. */
    private readonly limit: number,
    private readonly onNotified: (work: Work) => void,
  ) {
    // Its name is shorter than those of tables can be.
    this.channel = `spark_${createHash('sha256').update(plain.event).digest('hex').slice(0, 32)}`;
  }

  start(): void {
    this.listening = this.listen();
  }

  /** At once, and then what comes within 10 ms, or until the database has answered, together. */
  notify(work: Work): void {
    if (!this.client || !(work.rechecks || work.deliveries)) return;
    if (this.resting) {
      const { rechecks = false, deliveries = false } = this.unsent ?? {};
      this.unsent = { rechecks: rechecks || work.rechecks, deliveries: deliveries || work.deliveries };
      return;
    }
    const said = JSON.stringify({ from: this.id, ...work });
    // A connection that fails says so by its own event.
    const sent = this.ask(this.client, { ...NOTIFY, values: [this.channel, said] }).catch(() => undefined);
    this.resting = true;
    void Promise.all([sent, delay(TOGETHER, undefined, { ref: false })]).then(() => this.rested());
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.listening;
  }

  private rested(): void {
    this.resting = false;
    const { unsent } = this;
    this.unsent = undefined;
    if (unsent) this.notify(unsent);
  }

  /** Listens until it is stopped, on one connection after the other. */
  private async listen(): Promise<void> {
    const { signal } = this.stopping;
    for (let pause = 100; !signal.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      try {
        if (!(await this.listenOnce(() => (pause = 100)))) return;
      } catch (error) {
        if (!this.isDeaf) this.logger.warn(`Other processes are not heard for now, only by polling: ${lineOf(error)}`);
        this.isDeaf = true;
      }
      await delay(pause, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Listens until the connection is lost. Returns false when there is no use in trying again. */
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
      client.on('notification', ({ payload }) => this.receive(payload));
      if ((await Promise.race([this.inTime(client.query(`LISTEN ${this.channel}`)), lost, stopped])) === false)
        return false;
      if (!(await Promise.race([this.test(), lost, stopped]))) return false;
      this.client = client;
      this.asked = Promise.resolve();
      connected();
      if (this.isDeaf) this.logger.log('Other processes are heard again.');
      this.isDeaf = false;
      // What they said meanwhile was not heard.
      this.onNotified({ rechecks: true, deliveries: true });
      return await Promise.race([lost, stopped, this.probe(client, ending.signal)]);
    } finally {
      ending.abort();
      this.client = undefined;
      this.resting = false;
      const ended = client.end().catch(() => undefined);
      await Promise.race([ended, delay(LAST_LIMIT, undefined, { ref: false })]);
      client.connection?.stream.destroy();
    }
  }

  /** Asks again and again whether the connection answers: one that is silent tells nothing, not even that it is lost. */
  private async probe(client: Client, signal: AbortSignal): Promise<never> {
    for (;;) {
      await delay(this.limit / 3, undefined, { signal, ref: false });
      await this.inTime(this.ask(client, 'SELECT 1'));
    }
  }

  // One statement after the other: the driver gives up queries that overlap on a client.
  private ask(client: Client, statement: Parameters<Client['query']>[0]): Promise<unknown> {
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

  /** Whether what is sent on one connection arrives on the other: behind some poolers it is not. */
  private async test(): Promise<boolean> {
    const ending = new AbortController();
    const arrived = new Promise<boolean>((resolve) => (this.passedTest = () => resolve(true)));
    const said = JSON.stringify({ from: this.id });
    await execute(this.dataSource.manager, 'SELECT pg_notify(:channel, :said)', { channel: this.channel, said });
    const late = delay(TEST, false, { signal: ending.signal }).catch(() => false);
    const hasArrived = await Promise.race([arrived, late]);
    ending.abort();
    if (!hasArrived && !this.stopping.signal.aborted)
      this.logger.warn(
        'NOTIFY is not heard here, as behind a pooler in transaction mode: processes find each other by polling only.',
      );
    return hasArrived;
  }

  private receive(payload: string | undefined): void {
    const { from, rechecks, deliveries } = readNotification(payload);
    if (from === this.id) return this.passedTest();
    this.onNotified({ rechecks: rechecks !== false, deliveries: deliveries !== false });
  }
}

// Any role that may connect to the database can notify: what cannot be read says only that there may be something to do.
function readNotification(payload: string | undefined): { from?: unknown; rechecks?: unknown; deliveries?: unknown } {
  try {
    return Object(JSON.parse(payload ?? '')) as object;
  } catch {
    return {};
  }
}
