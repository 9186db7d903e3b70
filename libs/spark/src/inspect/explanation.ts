import type { Verdict } from '../record/derivation.js';

/** An event as its source gives it now. */
export interface YieldedEvent {
  readonly group: string;
  readonly key: string;
  /** `true` now; `later`: its `at` is to come; `over`: its `until` is past; `never`: its date is not set; `refused`: it cannot be entered. */
  readonly verdict: Verdict;
  /** When it becomes or became true, where the source says so. */
  readonly at: Date | undefined;
  /** Why it is refused. */
  readonly reason: string | undefined;
}

/** What a source says of the entity now. */
export interface ExplainedSource {
  readonly source: string;
  /** Whether saves are captured, and not only sweeps find its events. */
  readonly live: boolean;
  /** Whether the source is about this entity: it is there, and `where` and `query` let it through. */
  readonly isAbout: boolean;
  readonly events: readonly YieldedEvent[];
  /** What it threw. */
  readonly error: string | undefined;
}

/** A delivery of an event to a handler. */
export interface ExplainedDelivery {
  readonly handler: string;
  /** `available`, `running`, `completed`, `skipped`, `discarded` or `held`. */
  readonly state: string;
  readonly attempt: number;
  /** When it is to be tried, or was first. */
  readonly due: Date;
  readonly finished: Date | undefined;
  /** How long the handler took, in milliseconds. */
  readonly durationMs: number | undefined;
  /** Why it failed, or was skipped or discarded. */
  readonly error: string | undefined;
}

/** An event of the entity in the ledger. */
export interface ExplainedEvent {
  readonly key: string;
  readonly group: string;
  /** undefined: it was emitted. */
  readonly source: string | undefined;
  /** Its entity and id, where that is another one than what is explained: then its key is taken. */
  readonly of: string | undefined;
  /** The `at` that it was entered with. */
  readonly at: Date | undefined;
  readonly recorded: Date;
  readonly deliveries: readonly ExplainedDelivery[];
}

/** What `SparkService.explain` tells. */
export interface Explanation {
  readonly entity: string;
  readonly id: string;
  /** Whether its row is there. */
  readonly exists: boolean;
  readonly sources: readonly ExplainedSource[];
  /** The latest 1,000 events of the entity in the ledger, oldest first. */
  readonly events: readonly ExplainedEvent[];
  /** When it is rechecked, and how often it has failed. */
  readonly rechecks: readonly { readonly due: Date; readonly attempt: number }[];
  /** Why something did or did not happen, a sentence each. */
  readonly words: readonly string[];
}
