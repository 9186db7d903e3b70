import { knownToAllCopies, SparkError } from './spark.error.js';

/**
 * A handler throws this when a delivery can never succeed. Spark discards the delivery at once and keeps the reason.
 *
 * @example
 * if (!isAddress(mail)) throw new DiscardDelivery(`${mail} is no address`);
 */
export class DiscardDelivery extends SparkError {}

knownToAllCopies(DiscardDelivery, 'DiscardDelivery');
