import type { SparkClock } from 'nestjs-spark';

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A clock that stands still until a test moves it, backwards too. */
export class SetClock implements SparkClock {
  private instant = Date.parse('2026-03-01T12:00:00Z');

  now(): number {
    return this.instant;
  }

  /** The present, or so many milliseconds after it. */
  date(after = 0): Date {
    return new Date(this.instant + after);
  }

  pass(ms: number): void {
    this.instant += ms;
  }
}
