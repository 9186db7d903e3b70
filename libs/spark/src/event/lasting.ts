import { parseDuration } from '../config/option-parsers.js';
import { type DatedEvent, datedEvent } from './dated-event.js';
import type { SparkEvent } from './spark-event.js';

/** An event that becomes true when its source has yielded it for some time. */
export type Lasting = SparkEvent & Required<Pick<SparkEvent, 'trueFor'>>;

/** Whether an event has to last before it becomes true. Gets anything that a source has yielded. */
export function lasts(event: SparkEvent): event is Lasting {
  try {
    return 'trueFor' in event;
  } catch {
    return false;
  }
}

/** How long an event that can be entered has to last, in milliseconds. */
export const lengthOf = ({ trueFor }: Lasting): number => parseDuration('trueFor', trueFor!);

/** The event that becomes true when a condition has lasted long enough; undefined if its `until` comes before that. */
export function eventSince(lasting: Lasting, since: number): DatedEvent | undefined {
  const { key, until } = lasting;
  const at = since + lengthOf(lasting);
  return until && until.getTime() <= at ? undefined : datedEvent(lasting, key, at);
}
