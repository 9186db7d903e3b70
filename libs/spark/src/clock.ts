/** Where Spark asks for the time. Provide another one under {@link SPARK_CLOCK} to move time in tests. */
export interface SparkClock {
  /** The present instant in epoch milliseconds. */
  now(): number;
}

/**
 * The token of the clock that sources, looks and retries go by. Defaults to the process's clock.
 *
 * @example
 * Test.createTestingModule({ imports: [AppModule] }).overrideProvider(SPARK_CLOCK).useValue({ now: () => instant })
 */
export const SPARK_CLOCK = Symbol('SPARK_CLOCK');

export const systemClock: SparkClock = { now: () => Date.now() };
