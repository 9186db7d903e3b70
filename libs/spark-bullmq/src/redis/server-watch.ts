import { randomUUID } from 'node:crypto';
import { Logger } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { adviceOn, reasonOf } from './advice.js';

// How often Redis is asked, in milliseconds: while it is there, and while it is away.
const CALM = 2_000;
const AWAY = 500;

/** What a watch tells. */
export interface ServerListener {
  /** Prepares what Redis is used for: for the first time, again, or after it has lost its data. If it rejects, Redis counts as away. */
  prepare(): Promise<void>;
  /** Redis can be used. */
  onThere(): void;
  onAway(): void;
  /** All that was in Redis is gone. */
  onEmptied(): void;
}

/** What log lines say of the server. */
export interface ServerWords {
  readonly place: string;
  /** What happens until it is back. */
  readonly meanwhile: string;
}

/** Knows whether Redis takes writes, and says so once when that changes. */
export class ServerWatch {
  private readonly logger = new Logger('SparkBullMQ');
  /** Undefined until Redis was asked for the first time. */
  private state: 'there' | 'away' | undefined;
  private awaySince = 0;
  private generation: string | undefined;
  private lastError: unknown;
  private checking: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;
  private resolveKnown: () => void = () => undefined;
  /** Resolves when it is known for the first time whether Redis is there. */
  private readonly known = new Promise<void>((resolve) => (this.resolveKnown = resolve));

  constructor(
    private readonly client: Redis,
    /** A key whose value tells whether all data were lost. */
    private readonly key: string,
    private readonly words: ServerWords,
    private readonly listener: ServerListener,
  ) {
    client.on('error', (error) => (this.lastError = error));
    client.on('ready', () => void this.check());
    client.on('close', () => void this.check());
  }

  get isThere(): boolean {
    return this.state === 'there' && !this.isStopped;
  }

  /** Waits until the connection is made or has failed, at most so many milliseconds. Resolves when it is known whether Redis is there. */
  async start(limit: number): Promise<void> {
    this.timer = setTimeout(() => void this.check(), limit);
    await this.known;
  }

  /** Asks Redis now. Resolves when it is known whether it is there. */
  check(): Promise<void> {
    if (this.isStopped) return Promise.resolve();
    clearTimeout(this.timer);
    return (this.checking ??= this.ask().finally(() => {
      this.checking = undefined;
      this.resolveKnown();
      if (!this.isStopped) this.timer = setTimeout(() => void this.check(), this.state === 'there' ? CALM : AWAY);
    }));
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.resolveKnown();
  }

  private async ask(): Promise<void> {
    try {
      // An answer may be late because this process was stopped, and not Redis.
      const isEmptied = await this.probe().catch((error: unknown) =>
        isLate(error) ? this.probe() : Promise.reject(error),
      );
      if (isEmptied) this.emptied();
      if (isEmptied || !this.isThere) await this.arrive();
    } catch (error) {
      this.leave(error);
    }
  }

  /** A write, which Redis refuses where it refuses jobs. Returns whether Redis has lost its data. */
  private async probe(): Promise<boolean> {
    const mine = randomUUID();
    const answers = await this.client.pipeline().set(this.key, mine, 'NX').get(this.key).exec();
    const failed = answers?.find(([error]) => error);
    if (failed) throw failed[0];
    const generation = String(answers?.[1]?.[1]);
    const isEmptied = this.generation !== undefined && this.generation !== generation;
    this.generation = generation;
    return isEmptied;
  }

  private emptied(): void {
    if (this.isStopped) return;
    this.logger.warn(
      `Redis at ${this.words.place} has lost its data. No delivery is lost: Spark sends those that were on their way again.`,
    );
    this.listener.onEmptied();
  }

  private async arrive(): Promise<void> {
    if (this.isStopped) return;
    await this.warnOfEviction();
    await this.listener.prepare();
    if (this.isStopped) return;
    if (this.state === 'away') {
      const seconds = Math.round((performance.now() - this.awaySince) / 1_000);
      this.logger.log(`Redis at ${this.words.place} is back after ${seconds} s.`);
    }
    this.state = 'there';
    this.listener.onThere();
  }

  private leave(error: unknown): void {
    if (this.state === 'away' || this.isStopped) return;
    // Without a connection, the error of a command says less than that of the connection.
    const reason = reasonOf(this.client.status === 'ready' ? error : (this.lastError ?? 'the connection was closed'));
    this.lastError = undefined;
    this.state = 'away';
    this.awaySince = performance.now();
    const { place, meanwhile } = this.words;
    this.logger.error(`Redis at ${place} is away: ${reason}. ${adviceOn(reason)} ${meanwhile}`);
    this.listener.onAway();
  }

  /** A user may lack the permission. */
  private info(): Promise<string> {
    return this.client.info('memory').catch(() => '');
  }

  private async warnOfEviction(): Promise<void> {
    const [, policy] = /^maxmemory_policy:(\S+)/m.exec(await this.info()) ?? [];
    if (policy === undefined || policy === 'noeviction') return;
    this.logger.warn(
      `Redis at ${this.words.place} has the maxmemory-policy ${policy}, so it may drop jobs. Spark sends them again, but late. Set it to ` +
        `noeviction.`,
    );
  }
}

const isLate = (error: unknown): boolean => reasonOf(error) === 'Command timed out';
