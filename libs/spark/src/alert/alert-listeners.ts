import { SparkLog } from '../common/spark-log.js';
import type { AlertCondition, AlertListener, SparkAlert } from '../config/alert.options.js';
import type { AlertSettings } from '../config/alert.settings.js';
import type { AlertRow } from '../store/alerts.js';

/** A listener of alerts. */
export interface Listener {
  /** The same in all processes that have it. */
  readonly name: string;
  /** The conditions whose alerts it gets; undefined for all. */
  readonly conditions: readonly AlertCondition[] | undefined;
  readonly call: AlertListener;
}

/** The name of the listener that logs. */
const LOGGER = 'logger';

/** The listeners of this process: the log, functions among the options, and methods of providers. */
export class AlertListeners {
  private readonly all: Listener[] = [];
  private readonly logger = new SparkLog();

  constructor(settings: AlertSettings | undefined) {
    if (settings?.logger) this.add({ name: LOGGER, conditions: undefined, call: (alert) => this.log(alert) });
    for (const listener of settings?.calls ?? []) this.add(listener);
  }

  /** Adds a listener. One whose name is taken gets a number behind it. */
  add(listener: Listener): void {
    const same = this.all.filter(({ name }) => name === listener.name || name.startsWith(`${listener.name} (`)).length;
    this.all.push(same === 0 ? listener : { ...listener, name: `${listener.name} (${same + 1})` });
  }

  /** The listeners that have to be notified of an alert. */
  owed({ about, endedAt, notifiedRaised, notifiedOver }: AlertRow): readonly Listener[] {
    return this.all.filter(
      ({ name, conditions }) =>
        (conditions?.includes(about as AlertCondition) ?? true) &&
        (!notifiedRaised.includes(name) || (endedAt > 0 && !notifiedOver.includes(name))),
    );
  }

  private log({ summary, advice, ...alert }: SparkAlert): void {
    if (alert.state === 'raised') this.logger.warn(`${summary} ${advice}`, { alert });
    else this.logger.log(summary, { alert });
  }
}
