import type { SparkHealth, SweepHealth } from '../index.js';

/** More changes than that are not kept. */
const MOST = 1_000;

/** Events that sweeps have found, and live capture had missed. */
interface Missed {
  readonly at: number;
  readonly source: string;
  readonly events: number;
}

/** How far a sweep was, and since when. */
interface Place {
  readonly began: number;
  readonly read: number;
  readonly at: number;
}

/**
 * What the checks of one SparkService have seen, where the tables have only the present state: whether a sweep moves, and when events
 * were missed. Its instants are those of the process's monotonic clock.
 */
export class HealthHistory {
  private readonly totals = new Map<string, number>();
  private readonly places = new Map<string, Place>();
  private missed: Missed[] = [];
  private pendingSince: number | undefined;

  /** Compares the figures with those of the last check. */
  add({ sweeps, lease }: SparkHealth): void {
    const at = performance.now();
    this.pendingSince = lease === 'pending' ? (this.pendingSince ?? at) : undefined;
    for (const { source, missed, sweeping } of sweeps) {
      const before = this.totals.get(source) ?? missed;
      if (missed > before) this.missed.push({ at, source, events: missed - before });
      this.totals.set(source, missed);
      const place = this.places.get(source);
      const began = sweeping?.since.getTime();
      if (began === undefined || !sweeping) this.places.delete(source);
      else if (place?.began !== began || place.read !== sweeping.read)
        this.places.set(source, { began, read: sweeping.read, at });
    }
    this.missed = this.missed.slice(-MOST);
  }

  /** How many events of each source were missed in the last so many milliseconds. */
  missedWithin(within: number): Map<string, number> {
    const since = performance.now() - within;
    const bySource = new Map<string, number>();
    for (const { at, source, events } of this.missed)
      if (at >= since) bySource.set(source, (bySource.get(source) ?? 0) + events);
    return bySource;
  }

  /** For how many milliseconds this process has waited for its first lease. */
  get pendingFor(): number {
    return this.pendingSince === undefined ? 0 : performance.now() - this.pendingSince;
  }

  /** For how many milliseconds a sweep has read nothing, as far as this process knows. */
  stalledFor({ source, sweeping }: SweepHealth, now: Date): number {
    if (!sweeping) return 0;
    const seen = performance.now() - (this.places.get(source)?.at ?? Infinity);
    const left = sweeping.left ? now.getTime() - sweeping.left.getTime() : 0;
    return Math.max(seen, left, 0);
  }
}
