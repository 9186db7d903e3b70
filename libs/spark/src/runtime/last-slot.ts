import { CronTime } from 'cron';

const SECOND = 1_000;
const FARTHEST = 10 * 365 * 24 * 60 * 60 * SECOND;

/** The last instant of a cron expression up to another one, in epoch milliseconds; undefined if there was none for ten years. */
export function lastSlot(cron: string, timeZone: string | undefined, upTo: number): number | undefined {
  const time = new CronTime(cron, timeZone);
  const next = (after: number) => time.getNextDateFrom(new Date(after), timeZone).toMillis();
  let found: number | undefined;
  for (let back = SECOND; found === undefined; back *= 4) {
    if (back > FARTHEST) return undefined;
    const slot = next(upTo - back);
    if (slot <= upTo) found = slot;
  }
  // There may be many instants between this one and the end.
  for (let end = upTo; end - found >= SECOND;) {
    const middle = found + Math.floor((end - found) / 2);
    const slot = next(middle);
    if (slot <= upTo) found = slot;
    else end = middle;
  }
  return found;
}
