import { lasts } from '../event/lasting.js';
import { repeats, standsFor } from '../event/repetitions.js';
import type { SparkEvent } from '../event/spark-event.js';

// So long after its date, an event must still be yielded: a recheck is a little late.
const LATE = 1_000;
// How many dates of an entity, or of a batch, are checked.
const DATES = 5;
// By then, occurrences by hour, day, week, month and year are others.
const LATER = 400 * 24 * 60 * 60_000;
/** How often the checks of this file run a source. */
export const TIMING_RUNS = DATES + 1;

/** Runs a source for an instant, and returns the events that it yields, by their keys. Future events count, too. */
export type Run = (instant: number) => Promise<Yielded>;

export type Yielded = ReadonlyMap<string, SparkEvent>;

/** An event that is not yielded any more when its date has come, so that it never happens. */
export async function lostOf(run: Run, now: number, yielded: Yielded): Promise<string | undefined> {
  const future = [...yielded.values()].filter(({ at }) => at && at.getTime() > now);
  const dates = [...new Set(future.map(({ at }) => at!.getTime()))].sort((a, b) => a - b).slice(0, DATES);
  for (const date of dates) {
    const then = await run(date + LATE);
    const lost = future.find((event) => event.at!.getTime() === date && !isThere(event, then, date + LATE));
    if (lost)
      return (
        `it yields ${lost.key} for ${lost.at!.toISOString()}, but not any more when this date has come, so the event never happens. ` +
        `A date must not depend on scope.now; use every for events that repeat.`
      );
  }
  return undefined;
}

function isThere({ key, until }: SparkEvent, yielded: Yielded, now: number): boolean {
  if (until && until.getTime() <= now) return true;
  const event = yielded.get(key);
  return event !== undefined && standsFor(event, { key, at: null }, now);
}

/** An event that repeats with the time, in a source that nothing runs when the time has come. */
export async function undrivenOf(run: Run, now: number, yielded: Yielded): Promise<string | undefined> {
  const isDriven = [...yielded.values()].some(
    (event) => repeats(event) || lasts(event) || (event.at && event.at.getTime() > now),
  );
  if (isDriven) return undefined;
  const later = await run(now + LATER);
  const repeated = [...yielded].find((event) => isReplaced(event, yielded, later));
  if (!repeated) return undefined;
  return (
    `it yields ${repeated[0]}, and another key later, but nothing runs the source then: no sweep is scheduled, and the event has no ` +
    `future at. Use every, or schedule a sweep.`
  );
}

/** Whether another key of the group takes the place of this one. A key that only begins or stops with the time has no such successor. */
export function isReplaced([key, { group }]: [string, SparkEvent], beside: Yielded, others: Yielded) {
  if (others.has(key)) return false;
  return [...others].some(([other, event]) => event.group === group && !beside.has(other));
}
