import type { SparkEvent } from '../event/spark-event.js';
import type { Outcome } from './outcome.js';

/** What an attempt does with its event. */
export interface AttemptCall {
  /** Whether the attempt takes a slot. Of attempts that share a call, one does. */
  readonly takesSlot: boolean;
  abort(reason: Error): void;
  /** Waits for code of the application until it ends, reaches the handler's timeout, or the call is aborted. */
  inTime<T>(work: () => T): Promise<Awaited<T>>;
  /** Resolves with the outcome; undefined if the handler ended well. */
  handle(event: SparkEvent): Promise<Outcome | void>;
  /** Counts the attempt as ended. Returns whether that frees a slot. */
  leave(): boolean;
  /** Counts the attempt as settled. Returns whether the attempts that share its slot are settled now. */
  settle(): boolean;
}
