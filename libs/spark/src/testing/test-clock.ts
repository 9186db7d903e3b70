import type { SparkClock } from '../common/clock.js';
import { SparkError } from '../error/spark.error.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';

/** A test tried to move the clock back. */
export class ClockBackwardsError extends SparkError {
  constructor(from: number, to: number) {
    const [now, then] = [from, to].map((instant) => new Date(instant).toISOString());
    super(
      `The clock is at ${now} and cannot go back to ${then}. Use a new TestClock, or begin this one at an earlier instant.`,
    );
  }
}

/**
 * A clock that only a test moves, in place of `SPARK_CLOCK`. With it, Spark runs nothing by itself; `SparkTestKit` starts the work.
 *
 * @example
 * const clock = new TestClock('2026-06-01T12:00:00Z');
 * const module = await Test.createTestingModule({ imports: [AppModule] })
 *   .overrideProvider(SPARK_CLOCK).useValue(clock).compile();
 */
export class TestClock implements SparkClock {
  readonly isManual = true;
  private instant: number;

  /**
   * @param start the first instant: a Date, ISO text or epoch ms; default: now, in whole seconds
   * @throws InvalidOptionsError when that is not an instant
   */
  constructor(start: Date | string | number = Math.floor(Date.now() / 1_000) * 1_000) {
    this.instant = instantOf(start);
  }

  /** The present instant in epoch ms. */
  now(): number {
    return this.instant;
  }

  /** The present instant. */
  get date(): Date {
    return new Date(this.instant);
  }

  /**
   * Moves the clock to an instant, and runs nothing. `SparkTestKit.advanceTo` moves it and works.
   *
   * @param to the instant: a Date, ISO text or epoch ms
   * @throws ClockBackwardsError when the instant is in the past of the clock; InvalidOptionsError when it is not an instant
   *
   * @example
   * clock.set('2026-06-05T12:00:00Z'); // as if the application had been down until then
   * await kit.drain();
   */
  set(to: Date | string | number): void {
    const instant = instantOf(to);
    if (instant < this.instant) throw new ClockBackwardsError(this.instant, instant);
    this.instant = instant;
  }
}

/** Parses an instant as epoch ms. Throws InvalidOptionsError. */
export function instantOf(instant: Date | string | number): number {
  const milliseconds = new Date(instant).getTime();
  if (!Number.isNaN(milliseconds)) return milliseconds;
  throw new InvalidOptionsError('instant', instant, `a Date, ISO text such as '2026-06-01T12:00:00Z', or epoch ms`);
}
