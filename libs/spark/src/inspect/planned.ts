import type { EntityMetadata } from 'typeorm';

/** An event that would be entered, or that will become true later. */
export interface PlannedEvent {
  /** `enter`: by the planned instant it is in the ledger. `schedule`: it becomes true after that. */
  readonly outcome: 'enter' | 'schedule';
  readonly source: string;
  /** The name of the entity that the source is about. */
  readonly entity: string;
  /** The entity's id; undefined where a batch source gave the event a key of its own. */
  readonly id: string | undefined;
  readonly group: string;
  readonly key: string;
  /** When it would be entered, or becomes true. */
  readonly at: Date;
  /** The handlers that it would be delivered to. */
  readonly handlers: readonly string[];
}

/** An instant at which an entity is rechecked and nothing becomes true any more: its date was moved, say. */
export interface PlannedCancellation {
  readonly outcome: 'cancel';
  readonly entity: string;
  readonly id: string;
  readonly at: Date;
}

/** What keeps a plan from being complete. */
export interface PlannedProblem {
  /** `fail`: the source threw, or gave what cannot be entered. `unreliable`: it asks another clock than `scope.now`. */
  readonly outcome: 'fail' | 'unreliable';
  readonly source: string;
  readonly entity: string;
  /** The entity's id, where it is about one. */
  readonly id: string | undefined;
  readonly reason: string;
}

/** What `SparkService.plan` tells, one by one. */
export type Planned = PlannedEvent | PlannedCancellation | PlannedProblem;

/** What is to be planned. */
export interface PlanRequest {
  /** The entities that it is about. */
  readonly entities: readonly EntityMetadata[];
  /** The key of the one entity that it is about. Left out: all. */
  readonly id?: string;
  readonly now: number;
  readonly end: number;
}
