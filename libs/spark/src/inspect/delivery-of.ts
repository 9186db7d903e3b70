import type { DeliveryRow } from '../database/delivery-columns.js';
import { instant } from './instant.js';
import type { DeliveryRecord } from './records.js';

/** The record of a delivery, without its event. */
export const deliveryOf = (row: DeliveryRow): Omit<DeliveryRecord, 'event'> => ({
  id: row.id,
  handler: row.handler,
  state: row.state,
  attempt: row.attempt,
  priority: row.priority,
  due: new Date(row.due_at),
  started: instant(row.started_at),
  finished: instant(row.finished_at),
  durationMs: row.duration_ms ?? undefined,
  error: row.last_error ?? undefined,
  fingerprint: row.fingerprint ?? undefined,
  worker: row.claimed_by ?? undefined,
});
