import { knownToAllCopies, SparkError } from './spark.error.js';

/**
 * Thrown by a handler: this delivery will never succeed. It is discarded at once, with the reason.
 *
 * @example
 * if (!isAddress(mail)) throw new DiscardDelivery(`${mail} is no address`);
 */
export class DiscardDelivery extends SparkError {}

knownToAllCopies(DiscardDelivery, 'DiscardDelivery');
