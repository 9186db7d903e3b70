import type { AlertCondition } from '../config/alert.options.js';
import type { AlertLimits } from '../config/alert.settings.js';
import { MOST, type SparkHealth } from '../inspect/health.js';
import type { SweepHealth } from '../inspect/health-of-sweeps.js';
import { type AlertFigures, type AlertRow, type AlertSubject, subjectKey } from '../store/alerts.js';
import type { SweepMark } from '../store/sweep-marks.js';

/** How long a process that reports its own lease may be silent before it counts as gone, in milliseconds. */
const SILENT = 5 * 60_000;

/** The figures that a process judges. */
export interface Judged {
  /** The present instant, in epoch milliseconds. */
  readonly now: number;
  readonly health: SparkHealth;
  /** Since when rechecks are due, by the tables of this process's entities; undefined where none is due. */
  readonly rechecks: ReadonlyMap<string, number | undefined>;
  /** What was last seen of the sweeps, by source. */
  readonly marks: ReadonlyMap<string, SweepMark>;
  /** Whether this process has a schedule of sweeps. */
  readonly isScheduled: boolean;
  /** What is open, by `subjectKey`. */
  readonly open: ReadonlyMap<string, AlertRow>;
}

/** A condition that is true for a subject. */
export interface Finding extends AlertSubject {
  readonly about: AlertCondition;
  readonly figures: AlertFigures;
}

/** The result. */
export interface Judgement {
  readonly found: readonly Finding[];
  /** Whether this process knows that the condition of an open alert is not true, if it has not found it. */
  readonly isClear: (row: AlertRow) => boolean;
}

interface Rule {
  readonly find: (judged: Judged, limits: AlertLimits) => readonly Omit<Finding, 'about'>[];
  readonly isClear: (judged: Judged, row: AlertRow) => boolean;
}

const always = (): boolean => true;
const found = (subject: string, figures: AlertFigures) => ({ subject, figures });
const totalOf = (counts: readonly { readonly deliveries: number }[]): number =>
  counts.reduce((sum, { deliveries }) => sum + deliveries, 0);
const sweepOf = ({ health }: Judged, { subject }: AlertRow): SweepHealth | undefined =>
  health.sweeps.find(({ source }) => source === subject);

/** For how long something has been so, if that is longer than the limit. */
function older(since: Date | number | undefined, now: number, { olderThan }: AlertLimits) {
  const age = since === undefined ? 0 : Math.floor(now - Number(since));
  return age > olderThan ? { age, olderThan } : undefined;
}

const RULES: Readonly<Record<AlertCondition, Rule>> = {
  discarded: {
    find: ({ health }, { moreThan, within }) =>
      health.discarded
        .filter(({ deliveries }) => deliveries > moreThan)
        .map(({ handler, deliveries }) => found(handler, { deliveries, moreThan, within })),
    // If the count has reached its limit, those of another handler may be among the ones that were not read.
    isClear: ({ health }) => totalOf(health.discarded) < MOST,
  },
  backlog: {
    find: (judged, limits) =>
      judged.health.backlog.flatMap(({ handler, since }) => {
        const late = older(since, judged.now, limits);
        return late ? [found(handler, { ...late, workers: judged.health.workers })] : [];
      }),
    isClear: always,
  },
  missed: {
    find: ({ health, marks, open }) =>
      health.sweeps.flatMap(({ source, missed }) => {
        const events = missed - (marks.get(source)?.missed ?? missed);
        const before = open.get(subjectKey({ about: 'missed', subject: source }))?.figures.events ?? 0;
        return events > 0 ? [found(source, { events: before + events })] : [];
      }),
    isClear: (judged, row) => sweepOf(judged, row) !== undefined,
  },
  orphans: {
    find: ({ health }, { moreThan }) =>
      health.orphans
        .filter(({ deliveries }) => deliveries > moreThan)
        .map(({ handler, deliveries }) => found(handler, { deliveries, moreThan })),
    isClear: always,
  },
  held: {
    find: (judged, limits) =>
      judged.health.held.flatMap(({ group, deliveries, since }) => {
        const late = older(since, judged.now, limits);
        return late ? [found(group, { deliveries, ...late })] : [];
      }),
    isClear: ({ health }) => totalOf(health.held) < MOST,
  },
  sweepStalled: {
    find: (judged, limits) =>
      judged.health.sweeps.flatMap((sweep) => {
        const stalled = sweep.paused ? undefined : older(standingSince(judged, sweep), judged.now, limits);
        return stalled ? [found(sweep.source, { ...stalled, read: sweep.sweeping!.read })] : [];
      }),
    isClear: (judged, row) => sweepOf(judged, row) !== undefined,
  },
  sweepOverdue: {
    find: ({ health: { sweeps } }, limits) => {
      if (sweeps.some(({ sweeping }) => sweeping && !sweeping.left)) return [];
      return sweeps.flatMap(({ source, overdue }) => {
        // Slots go by the process's clock.
        const late = older(overdue, Date.now(), limits);
        return late ? [found(source, late)] : [];
      });
    },
    isClear: (judged, row) => judged.isScheduled && sweepOf(judged, row) !== undefined,
  },
  rechecks: {
    find: (judged, limits) =>
      [...judged.rechecks].flatMap(([entity, since]) => {
        const late = older(since, judged.now, limits);
        return late ? [found(entity, late)] : [];
      }),
    isClear: ({ rechecks }, { subject }) => rechecks.has(subject),
  },
  lease: {
    // Each process reports its own.
    find: () => [],
    isClear: ({ now }, { seenAt }) => now - seenAt > SILENT,
  },
};

/** Compares the figures with the limits. A condition without limits is switched off: nothing is found of it, and nothing is known. */
export function judgementOf(judged: Judged, limits: ReadonlyMap<AlertCondition, AlertLimits>): Judgement {
  return {
    found: [...limits].flatMap(([about, limit]) =>
      RULES[about].find(judged, limit).map((finding) => ({ about, ...finding })),
    ),
    isClear: (row) =>
      limits.has(row.about as AlertCondition) && RULES[row.about as AlertCondition].isClear(judged, row),
  };
}

/** What is seen now of the sweeps of a source. */
export function markOf(
  { now, marks }: Pick<Judged, 'now' | 'marks'>,
  { source, missed, sweeping }: SweepHealth,
): SweepMark {
  const place = sweeping && `${sweeping.since.getTime()}:${sweeping.read}`;
  const before = marks.get(source);
  return { missed, place, since: before?.place === place && before ? before.since : now };
}

/** Since when a sweep has read nothing; undefined if there is none. */
function standingSince(judged: Judged, sweep: SweepHealth): number | undefined {
  if (!sweep.sweeping) return undefined;
  return Math.min(markOf(judged, sweep).since, sweep.sweeping.left?.getTime() ?? Infinity);
}
