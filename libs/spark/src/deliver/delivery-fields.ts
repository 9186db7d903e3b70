import type { LogFields } from '../common/spark-log.js';
import type { Delivery } from '../store/deliveries.js';

/** What a log line about a delivery says to machines. */
export function deliveryFields({ id, handler, attempt, event: { key, group } }: Delivery): LogFields {
  return { handler, key, group, deliveryId: id, attempt };
}
