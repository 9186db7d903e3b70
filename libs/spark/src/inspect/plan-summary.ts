import type { InitialState } from '../database/delivery-states.js';
import type { PlannedEvent, PlannedProblem } from './planned.js';

/** What `SparkService.plan({ summary: true })` returns: how much would happen if no entity changed. */
export interface PlanSummary {
  /** The end of the plan. */
  readonly at: Date;
  /** How many entities were read, for each source, as in `SweepReport.subjects`. */
  readonly read: number;
  /** The sums over all groups. */
  readonly total: PlanTotal;
  /** The events of each group of a source, those with the most new events first. */
  readonly groups: readonly PlannedGroup[];
  /** The reasons why the plan is not complete, one record for each kind. */
  readonly problems: readonly PlannedProblems[];
  /** How long the plan took, in milliseconds. */
  readonly durationMs: number;
}

/** The sums of a {@link PlanSummary}. */
export interface PlanTotal {
  /** How many events a sweep would enter now. */
  readonly enter: number;
  /** How many events become true later, up to the end of the plan. */
  readonly later: number;
  /** How many events are known to become true after the end of the plan. */
  readonly schedule: number;
  /** How many deliveries the events up to the end have, with those that would be held or discarded. */
  readonly deliveries: number;
  /** How many of the deliveries would be held or discarded. */
  readonly held: number;
}

/** The events of one group that one source would yield. */
export interface PlannedGroup {
  /** The name of the entity that the source is about. */
  readonly entity: string;
  readonly source: string;
  readonly group: string;
  /** How many events a sweep would enter now. */
  readonly enter: number;
  /** How many events become true later, up to the end of the plan; 0 without `at`. */
  readonly later: number;
  /** How many events are known to become true after the end of the plan. */
  readonly schedule: number;
  /** The handlers that match the group. */
  readonly handlers: readonly PlannedHandler[];
  /**
   * What becomes of the deliveries of the events that a sweep would enter now. `available`: handlers get them. `held`: the group has its
   * first sweep, and has more than `activation.limit` deliveries, so they wait for `release` or `discard`. `discarded`: its source has
   * `history: 'silent'`, so no handler gets them.
   */
  readonly deliveries: InitialState;
  /** When the first of the events happens: its own `at`, which may be long past, or else when it would be entered. */
  readonly first: Date;
  /** When the last of them happens. */
  readonly last: Date;
  /** Up to five of the events, as `plan` yields them. */
  readonly samples: readonly PlannedEvent[];
}

/** How many deliveries a handler would get of a group. */
export interface PlannedHandler {
  readonly handler: string;
  /** How many deliveries the events up to the end of the plan have. */
  readonly deliveries: number;
}

/** Problems of one kind: those of a source whose reasons differ only in ids, numbers and dates. */
export interface PlannedProblems {
  readonly outcome: PlannedProblem['outcome'];
  readonly source: string;
  readonly entity: string;
  /** How many there are. A problem of an entity counts once. */
  readonly count: number;
  /** One of them. */
  readonly sample: PlannedProblem;
}
