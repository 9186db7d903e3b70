import type { EntityMetadata } from 'typeorm';

/** An event that would be entered, or that will become true later. */
export interface PlannedEvent {
  /** `enter`: by the planned instant it is in the ledger. `schedule`: it becomes true after that. */
  readonly outcome: 'enter' | 'schedule';
  readonly source: string;
  /** The name of the entity that the source is about. */
  readonly entity: string;
  /** The entity's id; undefined if a batch source gave the event a key of its own. */
  readonly id: string | undefined;
  readonly group: string;
  readonly key: string;
  /** When it would be entered (`enter`) or becomes true (`schedule`). */
  readonly at: Date;
  /** The event's own `at`, which may be long past; undefined if it has none. */
  readonly eventAt: Date | undefined;
  /** The handlers that it would be delivered to. */
  readonly handlers: readonly string[];
}

/** An instant at which an entity is rechecked but nothing becomes true any more, for example because its date was moved. */
export interface PlannedCancellation {
  readonly outcome: 'cancel';
  readonly entity: string;
  readonly id: string;
  readonly at: Date;
}

/** A reason why a plan is not complete. */
export interface PlannedProblem {
  /** `fail`: the source threw, or yielded an event that cannot be entered. `unreliable`: it reads another clock than `scope.now`. */
  readonly outcome: 'fail' | 'unreliable';
  readonly source: string;
  readonly entity: string;
  /** The entity's id, if the problem is about one entity. */
  readonly id: string | undefined;
  readonly reason: string;
}

/** One result of `SparkService.plan`. */
export type Planned = PlannedEvent | PlannedCancellation | PlannedProblem;

/** How a plan is watched and ended. */
export interface PlanWatch {
  /** Called after each page with how many entities were read so far. If it throws, the plan ends with that error. */
  readonly onProgress?: (read: number) => void;
  /** Ends the plan between two pages: it throws the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A request for a plan. */
export interface PlanRequest {
  /** The entities of the plan. */
  readonly entities: readonly EntityMetadata[];
  /** The key of the one entity of the plan. Default: all entities. */
  readonly id?: string;
  readonly now: number;
  readonly end: number;
}
