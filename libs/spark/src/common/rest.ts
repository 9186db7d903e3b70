/**
 * How an application boots for a command: nothing of Spark runs by itself, and its handlers are not registered, so other processes
 * notice nothing.
 */
export interface Rest {
  /** Whether its sources are registered, as a sweep needs it. Otherwise the boot changes no row. */
  readonly registersSources: boolean;
}

/** The token of {@link Rest}. An application that does not provide it boots as usual. All copies of the package share it. */
export const SPARK_REST = Symbol.for('nestjs-spark.rest');
