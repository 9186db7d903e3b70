import type { Duration } from './duration.js';

/** What an alert is about. Each has an option of {@link AlertOptions}, which says what it means. */
export type AlertCondition =
  'discarded' | 'backlog' | 'missed' | 'orphans' | 'held' | 'sweepStalled' | 'sweepOverdue' | 'rechecks' | 'lease';

/** An alert, as listeners get it: once when its condition has come true for a subject, and once when that is over. */
export interface SparkAlert {
  /** The same for both states, and each time that it is sent: a key to recognise what was sent before. */
  readonly id: string;
  readonly condition: AlertCondition;
  /**
   * What it is about: a handler; the group for `held`; the source for `missed`, `sweepStalled` and `sweepOverdue`; the table of the entity for
   * `rechecks`; the host name and process id for `lease`.
   */
  readonly subject: string;
  readonly state: 'raised' | 'over';
  /** When Spark first saw the condition. */
  readonly since: Date;
  /** When Spark first saw that it is over; undefined while it is not. */
  readonly until: Date | undefined;
  /** A sentence that can be sent as it is. It has no keys, no data of events and no errors. */
  readonly summary: string;
  /** What to do about it; undefined when it is over. */
  readonly advice: string | undefined;
  /** The numbers behind it, those last seen above the limit. Times are in milliseconds. */
  readonly figures: Readonly<Record<string, number>>;
  /** The name of the DataSource; `default` for the unnamed one. */
  readonly dataSource: string;
}

/** A function that gets alerts. If it throws, rejects, or takes longer than 10 seconds, it is called again later. */
export type AlertListener = (alert: SparkAlert) => unknown;

/** A condition: `false` switches it off, a function gets its alerts, an object has its limits, and its function as `notify`. */
export type AlertOption<Limits = unknown> = false | AlertListener | (Limits & { readonly notify?: AlertListener });

/**
 * Which conditions raise alerts, from which limit on, and which functions get them. `@OnSparkAlert()` is for methods of providers.
 *
 * An alert is raised once for each condition and subject over all processes. It is over when its condition has not been true for five
 * minutes.
 *
 * @example
 * SparkModule.forRoot({
 *   alerts: { onBacklog: { olderThan: '5m' }, onMissed: false, onAlert: ({ summary }) => chat.post(summary) },
 * })
 */
export interface AlertOptions {
  /** Gets the alerts of all conditions. Default: none. */
  readonly onAlert?: AlertListener;
  /** Deliveries of a handler were discarded: more than `moreThan` (0) within `within` (1 hour). About 1,000 are counted. */
  readonly onDiscarded?: AlertOption<{ readonly moreThan?: number; readonly within?: Duration }>;
  /** The oldest due delivery of a handler has been due for longer than `olderThan` (15 minutes). Paused handlers do not count. */
  readonly onBacklog?: AlertOption<{ readonly olderThan?: Duration }>;
  /** A sweep has found events that live capture missed. It is over when that has not happened for `within` (1 day). */
  readonly onMissed?: AlertOption<{ readonly within?: Duration }>;
  /** More than `moreThan` (0) deliveries wait for a handler that no process has had for five minutes. */
  readonly onOrphans?: AlertOption<{ readonly moreThan?: number }>;
  /** Deliveries of a group have been held for longer than `olderThan` (1 hour), because a first sweep holds deliveries until it ends. */
  readonly onHeld?: AlertOption<{ readonly olderThan?: Duration }>;
  /** A sweep that has begun has read no further rows for `olderThan` (30 minutes). Paused sweeps do not count. */
  readonly onSweepStalled?: AlertOption<{ readonly olderThan?: Duration }>;
  /** No process has begun a scheduled sweep for `olderThan` (1 hour) after its time, and none sweeps. */
  readonly onSweepOverdue?: AlertOption<{ readonly olderThan?: Duration }>;
  /** The oldest due recheck of an entity has been due for longer than `olderThan` (15 minutes). */
  readonly onRechecks?: AlertOption<{ readonly olderThan?: Duration }>;
  /** A process that should have a lease has had none for a minute, so that it handles nothing. */
  readonly onLease?: AlertOption;
  /** Whether alerts are logged: a WARN when one is raised, a LOG when it is over. Default: true. */
  readonly logger?: boolean;
}
