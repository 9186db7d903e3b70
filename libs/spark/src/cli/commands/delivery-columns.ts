import type { DeliveryRecord } from '../../inspect/records.js';
import { type Column, firstLine } from '../output/table.js';

/** The columns of the deliveries of one event. */
export const DELIVERIES_OF_EVENT: readonly Column<DeliveryRecord>[] = [
  { head: 'ID', of: ({ id }) => id },
  { head: 'STATE', of: ({ state }) => state },
  { head: 'HANDLER', of: ({ handler }) => handler },
  { head: 'ATTEMPT', of: ({ attempt }) => attempt },
  { head: 'DUE', of: ({ due }) => due },
  { head: 'FINISHED', of: ({ finished }) => finished },
  { head: 'ERROR', of: ({ error }) => firstLine(error) },
];

/** The columns of deliveries. */
export const DELIVERIES: readonly Column<DeliveryRecord>[] = [
  ...DELIVERIES_OF_EVENT.slice(0, 3),
  { head: 'KEY', of: ({ event }) => event.key },
  ...DELIVERIES_OF_EVENT.slice(3),
];
