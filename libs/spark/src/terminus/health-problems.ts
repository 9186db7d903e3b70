import ms from 'ms';
import { ADVICE } from '../common/health-limits.js';
import type { SparkHealth } from '../index.js';
import type { HealthHistory } from './health-history.js';
import type { Figure, HealthSettings } from './health-options.js';

/** A figure that is above its limit. */
export interface HealthProblem {
  /** The figure: the name of its option. */
  readonly about: Figure | 'lease';
  readonly status: 'degraded' | 'down';
  /** What is wrong, with names of handlers, groups and sources. It has no keys and no data of events. */
  readonly message: string;
  /** What to do. */
  readonly advice: string;
}

/** The value of a figure for one handler, group or source. */
interface Value {
  readonly name: string;
  /** In ms, or a count. */
  readonly value: number;
}

/** How a figure is judged, and told. */
interface Rule {
  readonly about: Figure;
  readonly values: readonly Value[];
  readonly unit: 'time' | 'count';
  /** Words for the values that are above a limit. */
  readonly words: (values: string) => string;
  readonly advice: string;
}

/** How long a process that boots may wait for its first lease, in milliseconds. */
const PATIENCE = 30_000;
/** More names are not listed. */
const MOST_NAMES = 5;

/** Compares figures with their limits. */
export function problemsOf(health: SparkHealth, history: HealthHistory, settings: HealthSettings): HealthProblem[] {
  const { lease } = settings;
  const problems = rulesOf(health, history, settings).flatMap((rule) => judged(rule, settings));
  const hasNone = health.lease === 'lost' || history.pendingFor > PATIENCE;
  if (hasNone && lease !== false) problems.unshift({ about: 'lease', status: lease, ...LEASE });
  return problems;
}

const LEASE = {
  message: 'This process has no lease, so it handles no deliveries.',
  advice: ADVICE.lease,
};

function judged({ about, values, unit, words, advice }: Rule, { limits }: HealthSettings): HealthProblem[] {
  const { degraded, down } = limits[about];
  // Counts of several names add up. Of times, the longest decides.
  const above = (limit: number) =>
    unit === 'count' ? (sumOf(values) > limit ? values : []) : values.filter(({ value }) => value > limit);
  const status = above(down).length > 0 ? 'down' : 'degraded';
  const over = above(Math.min(degraded, down));
  if (over.length === 0) return [];
  const limit = status === 'down' ? down : degraded;
  const message = `${words(listOf(over, unit))} The limit is ${unit === 'time' ? ms(limit) : limit}.`;
  return [{ about, status, message, advice }];
}

function rulesOf(health: SparkHealth, history: HealthHistory, settings: HealthSettings): Rule[] {
  return [...deliveryRules(health, settings), ...sweepRules(health, history, settings)];
}

function deliveryRules({ now, backlog, discarded, orphans, held, workers }: SparkHealth, settings: HealthSettings) {
  const age = (since: Date) => now.getTime() - since.getTime();
  const rules: Rule[] = [
    {
      about: 'backlog',
      unit: 'time',
      values: backlog.map(({ handler, since }) => ({ name: handler, value: age(since) })),
      words: (values) => `Due deliveries wait: ${values}.`,
      advice: ADVICE.backlog(workers),
    },
    {
      about: 'discarded',
      unit: 'count',
      values: discarded.map(({ handler, deliveries }) => ({ name: handler, value: deliveries })),
      words: (values) => `Deliveries were discarded within ${ms(settings.discardedWithin)}: ${values}.`,
      advice: ADVICE.discarded,
    },
    {
      about: 'orphans',
      unit: 'count',
      values: orphans.map(({ handler, deliveries }) => ({ name: handler, value: deliveries })),
      words: (values) => `Deliveries wait for handlers that no process has: ${values}.`,
      advice: ADVICE.orphans,
    },
    {
      about: 'held',
      unit: 'time',
      values: held.map(({ group, since }) => ({ name: group, value: age(since) })),
      words: (values) => `Deliveries are held: ${values}.`,
      advice: ADVICE.held,
    },
  ];
  return rules;
}

function sweepRules({ now, sweeps }: SparkHealth, history: HealthHistory, settings: HealthSettings) {
  const stalled = sweeps.filter(({ paused }) => !paused);
  const isRunning = sweeps.some(({ sweeping }) => sweeping && !sweeping.left);
  const overdue = sweeps.map(({ source, overdue: slot = new Date() }) => ({
    name: source,
    value: isRunning ? 0 : Date.now() - slot.getTime(),
  }));
  const rules: Rule[] = [
    {
      about: 'sweepStalled',
      unit: 'time',
      values: stalled.map((sweep) => ({ name: sweep.source, value: history.stalledFor(sweep, now) })),
      words: (values) => `Sweeps have begun and do not move: ${values}.`,
      advice: ADVICE.sweepStalled,
    },
    {
      about: 'sweepOverdue',
      unit: 'time',
      values: overdue,
      words: (values) => `No process has begun scheduled sweeps: ${values}.`,
      advice: ADVICE.sweepOverdue,
    },
    {
      about: 'missed',
      unit: 'count',
      values: [...history.missedWithin(settings.missedWithin)].map(([name, value]) => ({ name, value })),
      words: (values) =>
        `Sweeps have found events that live capture missed within ${ms(settings.missedWithin)}: ${values}.`,
      advice: `${ADVICE.missed} If that is meant, switch the figure off by missed: false.`,
    },
  ];
  return rules;
}

const sumOf = (values: readonly Value[]): number => values.reduce((sum, { value }) => sum + value, 0);

function listOf(values: readonly Value[], unit: Rule['unit']): string {
  const sorted = values.filter(({ value }) => value > 0).sort((a, b) => b.value - a.value);
  const shown = sorted.slice(0, MOST_NAMES).map(({ name, value }) => {
    return `${name} (${unit === 'time' ? ms(Math.round(value), { long: true }) : value})`;
  });
  const more = sorted.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}
