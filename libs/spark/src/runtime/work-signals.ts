import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { TableNames } from '../database/table-names.js';
import type { Notifier, Work } from '../notifier/notifier.js';
import { notifierOf } from '../notifier/notifiers.js';
import type { Ticker } from './ticker.js';

/** Notifies the tickers of this process, and other processes, of work. */
export class WorkSignals {
  private readonly logger = new Logger('Spark');
  private readonly tickers = new Map<keyof Work, Ticker>();
  readonly notifier: Notifier;

  /** @param limit how long Spark waits for an answer of the database, in milliseconds */
  constructor(dataSource: DataSource, tables: TableNames, limit: number) {
    this.notifier = notifierOf(dataSource, tables, limit, (work) => this.trigger(work));
  }

  /** Connects the ticker that runs one kind of work. */
  connect(kind: keyof Work, ticker: Ticker): void {
    this.tickers.set(kind, ticker);
  }

  /** Notifies this process and others of work. */
  notify(work: Work): void {
    this.trigger(work);
    this.notifier.notify(work);
  }

  /** Notifies other processes of work. */
  notifyOthers(work: Work): void {
    this.notifier.notify(work);
  }

  /** Logs that deliveries of a dead process are available again, and notifies this process and others. */
  rescued(deliveries: number): void {
    this.logger.warn(
      `${deliveries} deliveries of a process that died, or did not renew its lease in time, are available again, one at a time.`,
    );
    this.notify({ rechecks: false, deliveries: true });
  }

  private trigger({ rechecks, deliveries }: Work): void {
    if (rechecks) this.tickers.get('rechecks')?.trigger();
    if (deliveries) this.tickers.get('deliveries')?.trigger();
  }
}
