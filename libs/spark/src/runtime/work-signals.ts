import type { DataSource } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import type { Dialect } from '../database/dialect.js';
import type { TableNames } from '../database/table-names.js';
import { DELIVERIES, type Notifier, type Work } from '../notifier/notifier.js';
import { notifierOf } from '../notifier/notifiers.js';

// How often another process is notified that there may be more deliveries of a handler, in milliseconds. While there is a backlog, each
// claim takes all free slots; other processes that have some poll as well.
const HINT_EVERY = 1_000;

/** What this process does of one kind of work. */
interface Workplace {
  /** Begins what there is to do. */
  readonly trigger: () => void;
  /** Whether this process does such work. */
  readonly isStarted: () => boolean;
  /** Whether this process can begin such work now. Gets the name of the handler of a delivery. */
  readonly hasPlace: (handler: string) => boolean;
  /** Called before it is triggered, with the names of the handlers of deliveries. */
  readonly before?: (handlers: readonly string[] | 'all') => void;
}

/** Notifies the tickers of this process of work, and other processes of what this one has no place for. */
export class WorkSignals {
  private readonly logger = new SparkLog();
  private readonly workplaces = new Map<keyof Work, Workplace>();
  /** When another process was last notified that there may be more deliveries, by handler and `performance.now()`. */
  private readonly hintedAt = new Map<string, number>();
  readonly notifier: Notifier;

  /** @param limit how long Spark waits for an answer of the database, in milliseconds */
  constructor(dataSource: DataSource, dialect: Dialect, tables: TableNames, limit: number) {
    const onNotified = (work: Work, isAlone: boolean) => this.onNotified(work, isAlone);
    this.notifier = notifierOf(dataSource, dialect, tables, limit, onNotified);
  }

  /** Connects what does one kind of work. */
  connect(kind: keyof Work, workplace: Workplace): void {
    this.workplaces.set(kind, workplace);
  }

  /** Notifies of work that this process has committed: itself, or another process if it has no place for it. */
  committed(work: Work): void {
    const rest = this.trigger(work);
    if (rest.rechecks) this.notifier.notifyAll(rest);
    else this.notifier.notifyOne(rest);
  }

  /** Notifies this process and all others of work. */
  notify(work: Work): void {
    this.trigger(work);
    this.notifier.notifyAll(work);
  }

  /** Notifies all other processes of work. */
  notifyOthers(work: Work): void {
    this.notifier.notifyAll(work);
  }

  /** Notifies another process of deliveries of handlers for which this one has just claimed as many as it has places for. */
  hint(handlers: readonly string[]): void {
    const now = performance.now();
    const deliveries = handlers.filter((name) => now - (this.hintedAt.get(name) ?? -Infinity) > HINT_EVERY);
    for (const name of deliveries) this.hintedAt.set(name, now);
    this.notifier.hint({ rechecks: false, deliveries });
  }

  /** Logs that deliveries of a dead process are available again, and notifies this process and others. */
  rescued(deliveries: number): void {
    this.logger.warn(
      `${deliveries} deliveries of a process that died, or did not renew its lease in time, are available again, one at a time.`,
      { deliveries },
    );
    this.notify(DELIVERIES);
  }

  private onNotified(work: Work, isAlone: boolean): void {
    const rest = this.trigger(work);
    if (isAlone) this.notifier.notifyAll(rest);
  }

  /** Triggers the tickers of this process, and returns the work that it has no place for. */
  private trigger({ rechecks, deliveries }: Work): Work {
    const left =
      deliveries === 'all' ? deliveries : deliveries.filter((handler) => !this.hasPlace('deliveries', handler));
    this.workplaces.get('deliveries')?.before?.(deliveries);
    if (deliveries === 'all' || left.length < deliveries.length) this.workplaces.get('deliveries')?.trigger();
    if (rechecks) this.workplaces.get('rechecks')?.trigger();
    return { rechecks: rechecks && !this.hasPlace('rechecks'), deliveries: left };
  }

  private hasPlace(kind: keyof Work, handler = ''): boolean {
    const workplace = this.workplaces.get(kind);
    return workplace !== undefined && workplace.isStarted() && workplace.hasPlace(handler);
  }
}
