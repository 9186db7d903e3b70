import type { Duration } from '../config/spark.options.js';
import { parseDuration } from '../config/option-parsers.js';
import { knownToAllCopies, SparkError } from '../error/spark.error.js';

/**
 * A handler throws this to be called again after a delay. The attempt does not count.
 *
 * @example
 * if (response.status === 429) throw new RetryLater('1m', 'rate limit');
 */
export class RetryLater extends SparkError {
  /** The delay in milliseconds. */
  readonly milliseconds: number;

  /**
   * @param delay how long to wait, in milliseconds or as text such as `'30s'`
   * @param reason the delivery's last error; default: a general text
   * @throws InvalidOptionsError when the delay is not a duration; in a handler, this is a failure like any other
   */
  constructor(
    readonly delay: Duration,
    reason = 'the handler asked to be called later',
    options?: ErrorOptions,
  ) {
    super(reason, options);
    this.milliseconds = parseDuration('RetryLater', delay);
  }
}

knownToAllCopies(RetryLater as unknown as typeof SparkError, 'RetryLater');
