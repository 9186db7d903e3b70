import { SparkError } from './spark.error.js';

/**
 * Thrown by a handler: this delivery will never succeed. It is discarded at once, with the reason.
 *
 * @example
 * if (!isAddress(mail)) throw new DiscardDelivery(`${mail} is no address`);
 */
export class DiscardDelivery extends SparkError {
  /** @param reason what to keep as the delivery's last error */
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
  }
}
