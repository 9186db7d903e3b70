/** How an application boots for a command: nothing of Spark runs by itself. */
export interface Rest {
  /** Whether its sources are registered, as a sweep needs it. */
  readonly registersSources: boolean;
  /**
   * Whether its handlers are registered, so that other processes open deliveries for them. It implies `registersSources`. Default: false;
   * then the handlers count as present in this process alone.
   */
  readonly registersHandlers?: boolean;
}

/** The token of {@link Rest}. An application that does not provide it boots as usual. All copies of the package share it. */
export const SPARK_REST = Symbol.for('nestjs-spark.rest');
