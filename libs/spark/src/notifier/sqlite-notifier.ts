import type { DataSource } from 'typeorm';
import { sqliteConnectionOf } from '../database/typeorm-internals.js';
import { ALL_WORK, type Notifier, type OnNotified } from './notifier.js';

interface Connection {
  readonly open: boolean;
  pragma(name: string, options: { simple: true }): unknown;
}

const EVERY = 25;

/**
 * The notifier for SQLite. The file has a number that changes when another connection commits. To read it takes microseconds and no lock.
 */
export class SqliteNotifier implements Notifier {
  readonly channel = '';
  private timer: NodeJS.Timeout | undefined;
  private version: unknown;

  constructor(
    private readonly dataSource: DataSource,
    private readonly onNotified: OnNotified,
  ) {}

  start(): void {
    this.version = this.read();
    this.timer = setInterval(() => this.compare(), EVERY);
    this.timer.unref();
  }

  // The commit has changed the number already.
  notifyAll(): void {}
  notifyOne(): void {}
  hint(): void {}

  async stop(): Promise<void> {
    clearInterval(this.timer);
  }

  private compare(): void {
    const version = this.read();
    if (version === undefined || version === this.version) return;
    this.version = version;
    this.onNotified(ALL_WORK, false);
  }

  private read(): unknown {
    const connection = sqliteConnectionOf<Connection | undefined>(this.dataSource);
    try {
      return connection?.open ? connection.pragma('data_version', { simple: true }) : undefined;
    } catch {
      // The application iterates over rows on the connection. The next comparison follows soon.
      return undefined;
    }
  }
}
