const DAY = 86_400_000;
const SECOND = 1_000;
// No zone is a day or more away from UTC, and no change of its clocks is larger than that.
const FARTHEST = DAY;

/** A time from which on the clocks of a zone have another offset. */
interface Change {
  readonly at: number;
  readonly offset: number;
}

/** The offset at the begin of a day of UTC, and the change within the day, if there is one. */
interface ZoneDay {
  readonly offset: number;
  readonly change: Change | undefined;
}

/** A time in which the clocks of a zone have one offset. */
interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly offset: number;
}

/**
 * A time zone. It translates between instants and local times. A local time is a number, too: the epoch milliseconds that it would have
 * if it were a time of UTC. Offsets come from Intl, so Node's copy of the time zone database decides.
 */
export class Zone {
  private readonly format: Intl.DateTimeFormat;
  private readonly days = new Map<number, ZoneDay>();

  /**
   * @param timeZone its IANA name
   * @throws RangeError when there is no such zone
   */
  constructor(timeZone: string) {
    this.format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' });
  }

  /**
   * The first instant at which the local time is `local` or later. If clocks go back, so that `local` comes twice, it is the first of the
   * two. If clocks go forward and skip `local`, it is the instant at which they do.
   */
  instantOf(local: number): number {
    for (const { start, end, offset } of this.stretches(local - FARTHEST, local + FARTHEST)) {
      const instant = Math.max(local - offset, start);
      if (instant < end) return instant;
    }
    throw new RangeError(`No instant has the local time ${local}.`);
  }

  /** The latest local time that has come up to an instant. After clocks have gone back, it stays what it was until they reach it again. */
  latestLocal(instant: number): number {
    let latest = -Infinity;
    for (const { start, end, offset } of this.stretches(instant - FARTHEST, instant)) {
      if (start <= instant) latest = Math.max(latest, Math.min(end - 1, instant) + offset);
    }
    return latest;
  }

  /** The stretches of the days of UTC from one instant to another. */
  private *stretches(from: number, to: number): Generator<Stretch> {
    const last = Math.floor(to / DAY);
    for (let number = Math.floor(from / DAY); number <= last; number++) {
      const { offset, change } = this.day(number);
      const [start, end] = [number * DAY, (number + 1) * DAY];
      yield { start, end: change?.at ?? end, offset };
      if (change) yield { start: change.at, end, offset: change.offset };
    }
  }

  private day(number: number): ZoneDay {
    let day = this.days.get(number);
    if (day) return day;
    const [start, end] = [number * DAY, (number + 1) * DAY];
    const [offset, next] = [this.offsetAt(start), this.offsetAt(end)];
    day = { offset, change: offset === next ? undefined : { at: this.changeWithin(start, end), offset: next } };
    if (this.days.size >= MOST_DAYS) this.days.clear();
    this.days.set(number, day);
    return day;
  }

  /** The second at which the offset changes. */
  private changeWithin(start: number, end: number): number {
    const before = this.offsetAt(start);
    let [low, high] = [start, end];
    while (high - low > SECOND) {
      const middle = low + Math.floor((high - low) / SECOND / 2) * SECOND;
      if (this.offsetAt(middle) === before) low = middle;
      else high = middle;
    }
    return high;
  }

  // The text ends like `GMT`, `GMT+05:30` or `GMT-00:44:30`.
  private offsetAt(instant: number): number {
    const [, sign, hours, minutes, seconds = 0] =
      /GMT([+-])(\d+):(\d+)(?::(\d+))?$/.exec(this.format.format(instant)) ?? [];
    if (sign === undefined) return 0;
    const offset = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
    return (sign === '-' ? -offset : offset) * SECOND;
  }
}

const MOST_DAYS = 5_000;

/** To create a zone takes much longer than to use it. */
const zones = new Map<string, Zone>();
const MOST_ZONES = 1_000;

/** A zone by its IANA name. Throws RangeError if there is no such zone. */
export function zoneNamed(timeZone: string): Zone {
  let zone = zones.get(timeZone);
  if (zone) return zone;
  zone = new Zone(timeZone);
  // There are not so many time zones. But names that differ only in upper and lower case would add up.
  if (zones.size >= MOST_ZONES) zones.clear();
  zones.set(timeZone, zone);
  return zone;
}
