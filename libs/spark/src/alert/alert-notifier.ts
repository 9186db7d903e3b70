import { randomUUID } from 'node:crypto';
import { inTime } from '../common/in-time.js';
import type { SparkClock } from '../common/clock.js';
import type { Counters } from '../common/counters.js';
import type { AlertCondition, SparkAlert } from '../config/alert.options.js';
import type { Transactions } from '../database/transactions.js';
import { AlertTimeoutError } from '../error/alert-timeout.error.js';
import { linesOf, shown } from '../error/text-of.js';
import type { AlertRow, Alerts } from '../store/alerts.js';
import type { AlertListeners, Listener } from './alert-listeners.js';
import { isCondition, wordsOfOver, wordsOfRaised } from './alert-words.js';

/** How long a listener may take, in milliseconds. */
const LIMIT = 10_000;
/** How long a process has to send an alert: each listener gets at most two calls. By the database's clock, in milliseconds. */
const TTL = 6 * LIMIT;
/** How long an alert that is over is still sent to listeners that did not get it, in milliseconds. */
const LATE = 24 * 60 * 60_000;
const MINUTE = 60_000;
/** A listener that fails is called again after a minute, then after twice as long each time, up to an hour. */
const MOST_DOUBLINGS = 6;

/** What a listener got in one round. */
interface Informed {
  readonly name: string;
  readonly raised: boolean;
  readonly over: boolean;
  readonly failed: boolean;
}

/**
 * Notifies the listeners of this process of what they did not get. The row of an alert says who got what, so another process goes on if
 * this one dies. A listener that was called just before that is called again.
 */
export class AlertNotifier {
  constructor(
    private readonly transactions: Transactions,
    private readonly alerts: Alerts,
    private readonly listeners: AlertListeners,
    private readonly clock: SparkClock,
    private readonly counters: Counters,
    private readonly dataSource: string,
  ) {}

  /** Sends all that was not sent, except what another process sends now, or has failed to send of late. */
  async notify(): Promise<void> {
    const { manager } = this.transactions;
    /** The names of listeners that have not ended in time. */
    const hung = new Set<string>();
    for (const row of await this.alerts.toNotify(manager, this.clock.now() - LATE))
      if (isCondition(row.about) && this.owed(row, hung).length > 0) await this.notifyOf(row.id, hung);
  }

  // A listener that hangs delays the others once in a round, not once for each alert.
  private owed(row: AlertRow, hung: ReadonlySet<string>): readonly Listener[] {
    return this.listeners.owed(row).filter(({ name }) => !hung.has(name));
  }

  private async notifyOf(id: string, hung: Set<string>): Promise<void> {
    const { manager } = this.transactions;
    const notifier = randomUUID();
    if (!(await this.alerts.claim(manager, id, notifier, TTL))) return;
    // Another process may have sent it since it was read.
    const row = await this.alerts.get(manager, id);
    if (!row) return;
    const informed = await Promise.all(this.owed(row, hung).map((listener) => this.inform(listener, row, hung)));
    const failed = informed.some((one) => one.failed);
    const attempt = failed ? row.attempt + 1 : 0;
    await this.alerts.notified(manager, id, notifier, {
      raised: [...row.notifiedRaised, ...informed.filter(({ raised }) => raised).map(({ name }) => name)],
      over: [...row.notifiedOver, ...informed.filter(({ over }) => over).map(({ name }) => name)],
      attempt,
      pause: failed ? MINUTE * 2 ** Math.min(row.attempt, MOST_DOUBLINGS) : 0,
    });
  }

  /** Notifies a listener that an alert is raised, and then that it is over, as far as it did not get that. */
  private async inform(listener: Listener, row: AlertRow, hung: Set<string>): Promise<Informed> {
    const { name } = listener;
    const informed = { name, raised: false, over: false, failed: false };
    try {
      if (!row.notifiedRaised.includes(name)) {
        await listenInTime(() => listener.call(this.alertOf(row, 'raised')));
        informed.raised = true;
      }
      if (row.endedAt > 0 && !row.notifiedOver.includes(name)) {
        await listenInTime(() => listener.call(this.alertOf(row, 'over')));
        informed.over = true;
      }
    } catch (error) {
      informed.failed = true;
      if (error instanceof AlertTimeoutError) hung.add(name);
      const message = () => `${shown(name)} has failed, and is notified again. ${linesOf(error)}`;
      this.counters.report('failedAlerts', name, message, { listener: name, condition: row.about, error });
    }
    return informed;
  }

  private alertOf(
    { id, about, subject, since, clearAt, endedAt, figures }: AlertRow,
    state: SparkAlert['state'],
  ): SparkAlert {
    const condition = about as AlertCondition;
    const until = clearAt ?? endedAt;
    const words =
      state === 'raised'
        ? wordsOfRaised(condition, subject, figures)
        : wordsOfOver(condition, subject, figures, Math.max(0, until - since));
    const of = this.dataSource === 'default' ? '' : `${this.dataSource}: `;
    return {
      id,
      condition,
      subject,
      state,
      since: new Date(since),
      until: state === 'over' ? new Date(until) : undefined,
      ...words,
      summary: of + words.summary,
      figures,
      dataSource: this.dataSource,
    };
  }
}

const listenInTime = (call: () => unknown): Promise<unknown> => inTime(call, LIMIT, () => new AlertTimeoutError(LIMIT));
