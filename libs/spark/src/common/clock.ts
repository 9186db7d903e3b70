import { InvalidOptionsError } from '../error/invalid-options.error.js';

/**
 * Where Spark asks for the time. Tests put another one in the place of {@link SPARK_CLOCK}.
 *
 * @example
 * const clock: SparkClock = { now: () => Date.parse('2026-06-01T12:00:00Z'), isManual: true };
 */
export interface SparkClock {
  /** The present instant in epoch milliseconds, a whole number. */
  now(): number;
  /** Whether time moves only when a test moves it: then nothing runs by itself, neither worker nor rechecks nor the scheduled sweep. */
  readonly isManual?: boolean;
}

/**
 * The token of the clock that sources, rechecks and retries go by. Defaults to the process's clock, put right by the database's
 * at boot and each minute where the two differ by more than a second.
 *
 * @example
 * Test.createTestingModule({ imports: [AppModule] }).overrideProvider(SPARK_CLOCK).useValue({ now: () => instant })
 */
export const SPARK_CLOCK = Symbol.for('nestjs-spark.clock');

/** Throws InvalidOptionsError when it does not give what the database keeps. */
export function checkClock(clock: SparkClock): void {
  const now = clock.now();
  if (!Number.isSafeInteger(now))
    throw new InvalidOptionsError('SPARK_CLOCK', now, 'now() in whole epoch milliseconds');
}

// Less than that is what asking over a network may take, and what clocks that are kept differ by.
const TOLERANCE = 1_000;

/** The process's clock, put right by the database's where they differ: processes that share a database agree on the time. */
export class SystemClock implements SparkClock {
  /** How far the database's clock is ahead, in milliseconds; 0 where the two agree. */
  private offset = 0;

  now(): number {
    return Date.now() + this.offset;
  }

  /** Compares it with the database's, which was asked and has answered at two instants. Returns how far that is ahead, if it is news. */
  compare(database: number, asked: number, answered: number): number | undefined {
    const offset = Math.round(database - (asked + answered) / 2);
    const uncertain = TOLERANCE + (answered - asked) / 2;
    if (Math.abs(offset - this.offset) <= uncertain) return undefined;
    return (this.offset = Math.abs(offset) <= uncertain ? 0 : offset);
  }
}
