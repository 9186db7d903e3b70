/** What there may be to do. */
export interface Work {
  readonly rechecks: boolean;
  readonly deliveries: boolean;
}

/** Lets processes hear of each other's work sooner than they would by polling. What is not heard is found by the next poll. */
export interface Notifier {
  start(): void;
  /** This process has committed work that others may do as well. */
  notify(work: Work): void;
  stop(): Promise<void>;
}
