import { InvalidOptionsError } from '../error/invalid-options.error.js';

/**
 * The clock that Spark reads the time from. A test replaces {@link SPARK_CLOCK} by a clock of its own.
 *
 * @example
 * const clock: SparkClock = { now: () => Date.parse('2026-06-01T12:00:00Z'), isManual: true };
 */
export interface SparkClock {
  /** The present instant in epoch milliseconds, a whole number. */
  now(): number;
  /**
   * Whether time moves only when a test moves it. If so, nothing runs by itself: no worker, no rechecks, no scheduled sweep. Default:
   * false.
   */
  readonly isManual?: boolean;
}

/**
 * The token of the clock for sources, rechecks and retries. Default: the process's clock. If it differs from the database's clock by
 * more than a second, at boot or in a check each minute, Spark corrects it by the difference.
 *
 * @example
 * Test.createTestingModule({ imports: [AppModule] }).overrideProvider(SPARK_CLOCK).useValue({ now: () => instant })
 */
export const SPARK_CLOCK = Symbol.for('nestjs-spark.clock');

/** Throws InvalidOptionsError when the clock does not return whole milliseconds, which the database stores. */
export function checkClock(clock: SparkClock): void {
  const now = clock.now();
  if (!Number.isSafeInteger(now))
    throw new InvalidOptionsError('SPARK_CLOCK', now, 'now() in whole epoch milliseconds');
}

// A smaller difference may come from the network, and is normal between clocks that are synchronised.
const TOLERANCE = 1_000;

/** The process's clock, corrected to the database's clock where they differ. So processes that share a database agree on the time. */
export class SystemClock implements SparkClock {
  /** How far the database's clock is ahead of the process's, in milliseconds; 0 if they agree. */
  private offset = 0;

  now(): number {
    return Date.now() + this.offset;
  }

  /**
   * Compares this clock with the database's.
   *
   * @param database the database's time, in epoch milliseconds
   * @param asked when the query was sent, by the process's clock
   * @param answered when the answer arrived, by the process's clock
   * @returns how far the database's clock is ahead, in milliseconds; undefined if that has not changed
   */
  compare(database: number, asked: number, answered: number): number | undefined {
    const offset = Math.round(database - (asked + answered) / 2);
    const uncertain = TOLERANCE + (answered - asked) / 2;
    if (Math.abs(offset - this.offset) <= uncertain) return undefined;
    return (this.offset = Math.abs(offset) <= uncertain ? 0 : offset);
  }
}
