import { CronFields } from './cron-fields.js';
import type { Series } from './series.js';
import { type Zone, zoneNamed } from './zone.js';

/** The instants around all those from one instant to the next. */
interface Around {
  readonly from: number;
  readonly latest: number | undefined;
  readonly next: number | undefined;
}

/**
 * The instants of a cron expression in a time zone. Each local time of the expression has one instant. Of a local time that comes twice,
 * as clocks go back, it is the first. A local time that is skipped, as clocks go forward, has the instant at which they do; several such
 * local times share it.
 */
export class CronSchedule implements Series {
  /** The last answer. Nearly all entities of a sweep ask for the same instant. */
  private known: Around | undefined;

  private constructor(
    private readonly fields: CronFields,
    private readonly zone: Zone,
  ) {}

  /** The schedule of an expression. Throws CronFlaw and, if there is no such zone, RangeError. */
  static of(expression: string, timeZone: string): CronSchedule {
    const name = `${timeZone}\n${expression}`;
    let schedule = schedules.get(name);
    if (schedule) return schedule;
    schedule = new CronSchedule(new CronFields(expression), zoneNamed(timeZone));
    if (schedules.size >= MOST_SCHEDULES) schedules.clear();
    schedules.set(name, schedule);
    return schedule;
  }

  latest(upTo: number): number | undefined {
    this.known = this.around(upTo);
    return this.known.latest;
  }

  next(after: number): number | undefined {
    this.known = this.around(after);
    return this.known.next;
  }

  private around(instant: number): Around {
    const { known } = this;
    if (known && known.from <= instant && instant < (known.next ?? Infinity)) return known;
    // Local times up to this one have come, and all later ones have not.
    const local = this.zone.latestLocal(instant);
    const latest = this.instantOf(this.fields.upTo(local));
    return { from: latest ?? instant, latest, next: this.instantOf(this.fields.after(local)) };
  }

  private instantOf(local: number | undefined): number | undefined {
    return local === undefined ? undefined : this.zone.instantOf(local);
  }
}

/** To parse an expression takes many times as long as to use it. */
const schedules = new Map<string, CronSchedule>();
const MOST_SCHEDULES = 5_000;
