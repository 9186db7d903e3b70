/** The kinds of work that may be due. */
export interface Work {
  readonly rechecks: boolean;
  readonly deliveries: boolean;
}

/** Notifies other processes of work sooner than they would find it by polling. If a notification is lost, the next poll finds the work. */
export interface Notifier {
  start(): void;
  /** Notifies other processes of work that this process has committed, and that they may do as well. */
  notify(work: Work): void;
  stop(): Promise<void>;
}
