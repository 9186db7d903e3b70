import type { Duration } from '../config/spark.options.js';
import { parseDuration } from '../config/option-parsers.js';
import { knownToAllCopies, SparkError } from '../error/spark.error.js';

/**
 * Thrown by a handler: not now, but after a while. The attempt does not count.
 *
 * @example
 * if (response.status === 429) throw new RetryLater('1m', 'rate limit');
 */
export class RetryLater extends SparkError {
  /** The delay in milliseconds. */
  readonly milliseconds: number;

  /**
   * @param delay how long to wait, milliseconds or text such as `'30s'`
   * @param reason what to keep as the delivery's last error
   * @throws InvalidOptionsError when the delay is not a duration; thrown in a handler, that is a failure as any other
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
