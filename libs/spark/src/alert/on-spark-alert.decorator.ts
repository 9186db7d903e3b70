import { addMetadata } from '../common/decorator-metadata.js';
import type { AlertCondition, SparkAlert } from '../config/alert.options.js';

/** Options of a method that gets alerts. */
export interface OnSparkAlertOptions {
  /** The name of the DataSource whose alerts it gets. Default: those of every SparkModule. */
  dataSource?: string;
}

export interface AlertMetadata {
  readonly conditions: readonly AlertCondition[] | undefined;
  readonly options: OnSparkAlertOptions;
}

export const ON_SPARK_ALERT = Symbol.for('nestjs-spark.on-alert');

type AlertMethod = (alert: SparkAlert) => unknown;

/**
 * Makes a method of a provider get alerts: once when a condition has come true for a subject, and once when that is over, in one process of
 * all. The name of the method, `Class.method`, stands for it in the table of alerts: a renamed one is notified again of what is open.
 *
 * If it throws, rejects, or takes longer than 10 seconds, or if its process dies meanwhile, it is called again later, in any process that
 * has it. So it may get an alert twice, with the same `id`.
 *
 * @param conditions the conditions whose alerts it gets, one or a list; default: all
 * @param options the DataSource that it is for
 * @returns A method decorator. The application does not start if a condition is unknown (InvalidOptionsError), or if the provider is
 *   request-scoped (RequestScopedError).
 * @throws NotAMethodError, StaticMethodError when it decorates something that Spark cannot call
 *
 * @example
 * @OnSparkAlert()
 * async send({ summary, advice = '' }: SparkAlert) { await this.chat.post(`${summary} ${advice}`); }
 *
 * @example
 * @OnSparkAlert(['discarded', 'orphans'])
 * async mail(alert: SparkAlert) { await this.mails.send('ops@example.org', alert.summary); }
 */
export function OnSparkAlert(
  conditions?: AlertCondition | readonly AlertCondition[],
  options: OnSparkAlertOptions = {},
): <M extends AlertMethod>(target: object, key: string | symbol, descriptor: TypedPropertyDescriptor<M>) => void {
  const list = typeof conditions === 'string' ? [conditions] : conditions;
  const value: AlertMetadata = { conditions: list, options };
  return (target, key) => addMetadata(ON_SPARK_ALERT, 'OnSparkAlert', value, target, key);
}
