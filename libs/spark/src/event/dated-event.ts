import { keepDefinition } from './event-definition.js';
import type { SparkEvent } from './spark-event.js';

/** An event that becomes true at an instant. */
export type DatedEvent = SparkEvent & Required<Pick<SparkEvent, 'at'>>;

/** A copy of an event that becomes true at an instant, in epoch milliseconds, in place of what the event says of that. */
export function datedEvent(event: SparkEvent, key: string, instant: number): DatedEvent {
  const { group, context, until, metadata } = event;
  const dated: { -readonly [K in keyof DatedEvent]: DatedEvent[K] } = { group, key, context, at: new Date(instant) };
  if (until) dated.until = until;
  if (metadata) dated.metadata = metadata;
  keepDefinition(dated, event);
  return dated;
}
