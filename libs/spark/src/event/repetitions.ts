import { checkEvent } from './event-check.js';
import { datedEvent } from './dated-event.js';
import { Instants } from './schedule.js';
import type { SparkEvent } from './spark-event.js';

/** How many missed instants of an entity's events happen at most. */
const MOST_MISSED = 1_000;

/**
 * The events for which a yielded event stands at an instant. An event that repeats stands for its latest instant, or with
 * `catchUp: 'all'` for the latest `most` ones, and for its next one, which is not true yet. Any other event stands for itself. So does an
 * event that cannot be entered, or whose `until` is past.
 */
export function eventsAt(event: SparkEvent, now: number, most = MOST_MISSED): readonly SparkEvent[] {
  if (!repeats(event) || checkEvent(event) !== undefined) return [event];
  if (event.until && event.until.getTime() <= now) return [event];
  const instants = instantsOf(event);
  const next = instants.next(now);
  const past = instants.last(catchesUp(event) ? most : 1, now);
  return (next === undefined ? past : [...past, next]).map((instant) =>
    datedEvent(event, keyAt(event.key, instant), instant),
  );
}

/** Whether a yielded event is true at an instant, and stands for an event that was entered. */
export function standsFor(
  event: SparkEvent,
  entered: { readonly key: string; readonly at: number | null },
  now: number,
) {
  const { key, at } = entered;
  if (!repeats(event)) return event.key === key && isTrue(event, now);
  if (at === null || at > now || key !== keyAt(event.key, at) || checkEvent(event) !== undefined) return false;
  return instantsOf(event).has(at);
}

/** How many past instants each of the events that a source has yielded for an entity may stand for. */
export function mostMissedOf(events: readonly SparkEvent[]): number {
  const { length } = events.filter((event) => repeats(event) && catchesUp(event));
  return Math.max(1, Math.floor(MOST_MISSED / Math.max(1, length)));
}

const catchesUp = ({ schedule }: Repeating): boolean => schedule.catchUp === 'all';

type Repeating = SparkEvent & Required<Pick<SparkEvent, 'schedule'>>;

/** Whether an event repeats. Gets anything that a source has yielded. */
export function repeats(event: SparkEvent): event is Repeating {
  try {
    return event.schedule !== undefined;
  } catch {
    return false;
  }
}

const instantsOf = ({ schedule, until }: Repeating): Instants => new Instants(schedule, until?.getTime());

/** An id has no `@` without a backslash, so the key of no other id is like this. */
const keyAt = (key: string, instant: number): string => `${key}@${new Date(instant).toISOString()}`;

function isTrue(event: SparkEvent, now: number): boolean {
  if ('at' in event && !event.at) return false;
  return (event.at?.getTime() ?? now) <= now;
}
