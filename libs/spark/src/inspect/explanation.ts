import type { Verdict } from '../record/derivation.js';

/** An event as its source yields it now. */
export interface YieldedEvent {
  readonly group: string;
  readonly key: string;
  /**
   * `true`: it holds now. `later`: its `at` is in the future, or its `trueFor` has not passed. `over`: its `until` is past. `never`: its `at` is not set. `refused`: it
   * cannot be entered.
   */
  readonly verdict: Verdict;
  /** Its `at`: when it becomes or became true. With `trueFor`, that is so long after `since`. Undefined if there is none. */
  readonly at: Date | undefined;
  /** Since when it has been yielded without a break, if it has `trueFor`. Undefined if no recheck has found it yet. */
  readonly since: Date | undefined;
  /** Why it is refused. */
  readonly reason: string | undefined;
}

/** What a source yields for the entity now. */
export interface ExplainedSource {
  readonly source: string;
  /** Whether the source is live: saves of the entity run it, too, not only sweeps. */
  readonly live: boolean;
  /** Whether the source is about this entity: the row exists, and `where` and `query` select it. */
  readonly isAbout: boolean;
  readonly events: readonly YieldedEvent[];
  /** What the source threw. */
  readonly error: string | undefined;
}

/** A delivery of an event to a handler. */
export interface ExplainedDelivery {
  readonly handler: string;
  /** `available`, `running`, `completed`, `skipped`, `discarded` or `held`. */
  readonly state: string;
  readonly attempt: number;
  /** When it is due, or was due first. */
  readonly due: Date;
  readonly finished: Date | undefined;
  /** How long the handler took, in milliseconds. */
  readonly durationMs: number | undefined;
  /** Why its last attempt failed, or why it was skipped or discarded. */
  readonly error: string | undefined;
  /** The key of the digest that it waits for, or is in. */
  readonly digest?: string;
  /** Whether a carrier brings it to a process. If it gets lost, it is `due` again. */
  readonly dispatched?: boolean;
}

/** An event of the entity in the ledger. */
export interface ExplainedEvent {
  readonly key: string;
  readonly group: string;
  /** The name of the source; undefined for an emitted event. */
  readonly source: string | undefined;
  /** Its entity and id if that is another entity than the explained one. Then that entity has entered the key. */
  readonly of: string | undefined;
  /** The `at` that it was entered with. */
  readonly at: Date | undefined;
  readonly recorded: Date;
  readonly deliveries: readonly ExplainedDelivery[];
}

/** The result of `SparkService.explain`. */
export interface Explanation {
  readonly entity: string;
  readonly id: string;
  /** Whether its row exists. */
  readonly exists: boolean;
  readonly sources: readonly ExplainedSource[];
  /** The latest 1,000 events of the entity in the ledger, oldest first. */
  readonly events: readonly ExplainedEvent[];
  /** The rechecks of the entity: when each is due, and how often it has failed. */
  readonly rechecks: readonly { readonly due: Date; readonly attempt: number }[];
  /** Sentences that say why something did or did not happen. */
  readonly words: readonly string[];
}
