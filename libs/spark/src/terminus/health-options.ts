import ms, { type StringValue } from 'ms';
import { HEALTH_LIMITS } from '../common/health-limits.js';
import { type Duration, InvalidOptionsError } from '../index.js';

/**
 * The limit of a figure: above it, the result is `degraded`. `{ degraded, down }` has a limit for each; one that is left out is off.
 * `false` switches the figure off.
 */
export type HealthLimit<V extends Duration> = V | false | { readonly degraded?: V | false; readonly down?: V | false };

/** What the result is while this process has no lease. `false` switches the figure off. */
export type LeaseLimit = 'degraded' | 'down' | false;

/** The options of {@link SparkHealthIndicator.check}. Durations are in ms, or text such as `'15m'`. */
export interface SparkHealthOptions {
  /** The name of the DataSource. Default: the unnamed one. */
  readonly dataSource?: string;
  /** How long the figures may take to read, at most 24 days. Then the result is `down`. Default: 3 seconds. */
  readonly timeout?: Duration;
  /** For how long the oldest due delivery of a handler may have been due. Paused handlers do not count. Default: 15 minutes. */
  readonly backlog?: HealthLimit<Duration>;
  /** How many deliveries may have been discarded of late. About 1,000 are counted. Default: 0. */
  readonly discarded?: HealthLimit<number>;
  /** What "of late" means for `discarded`. Default: an hour. */
  readonly discardedWithin?: Duration;
  /** How many deliveries may wait for handlers that no process has. Default: 0. */
  readonly orphans?: HealthLimit<number>;
  /** For how long deliveries may have been held. Default: an hour, because a first sweep holds deliveries until it ends. */
  readonly held?: HealthLimit<Duration>;
  /** For how long a sweep that has begun may read no further rows. Paused sweeps do not count. Default: 30 minutes. */
  readonly sweepStalled?: HealthLimit<Duration>;
  /** For how long a scheduled sweep may be late. It is not late while another sweep runs, or while it is paused. Default: an hour. */
  readonly sweepOverdue?: HealthLimit<Duration>;
  /** How many events live capture may have missed of late. They count from the first check of this process on. Default: 0. */
  readonly missed?: HealthLimit<number>;
  /** What "of late" means for `missed`. Default: a day. */
  readonly missedWithin?: Duration;
  /**
   * The result while this process should have a lease and has none, so that it handles no deliveries. A process that boots has 30 seconds.
   * Default: `down`.
   */
  readonly lease?: LeaseLimit;
}

/** The limits of a figure, in ms or as a count. Infinity: none. */
export interface Limits {
  readonly degraded: number;
  readonly down: number;
}

/** The figures that have limits. */
export type Figure = 'backlog' | 'discarded' | 'orphans' | 'held' | 'sweepStalled' | 'sweepOverdue' | 'missed';

/** The options after the check, complete, in milliseconds. */
export interface HealthSettings {
  readonly dataSource: string | undefined;
  readonly timeout: number;
  readonly discardedWithin: number;
  readonly missedWithin: number;
  readonly limits: Readonly<Record<Figure, Limits>>;
  readonly lease: LeaseLimit;
}

const DEFAULTS = {
  timeout: '3s',
  ...HEALTH_LIMITS,
  lease: 'down',
} as const satisfies SparkHealthOptions;
const NAMES = ['dataSource', ...Object.keys(DEFAULTS)];
const LONGEST_TIMER = 2 ** 31 - 1;

/** Checks the options and adds the defaults. Throws InvalidOptionsError. */
export function settingsOf(options: SparkHealthOptions): HealthSettings {
  const unknown = Object.keys(options).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) throw invalid(unknown, 'unknown', `one of ${NAMES.join(', ')}`);
  const given = { ...DEFAULTS, ...defined(options) };
  const timeout = duration('timeout', given.timeout);
  if (timeout > LONGEST_TIMER) throw invalid('timeout', given.timeout, 'at most 24 days');
  if (given.lease !== false && given.lease !== 'degraded' && given.lease !== 'down')
    throw invalid('lease', given.lease, `'degraded', 'down' or false`);
  return {
    dataSource: options.dataSource,
    timeout,
    discardedWithin: duration('discardedWithin', given.discardedWithin),
    missedWithin: duration('missedWithin', given.missedWithin),
    limits: {
      backlog: limits('backlog', given.backlog, duration),
      discarded: limits('discarded', given.discarded, count),
      orphans: limits('orphans', given.orphans, count),
      held: limits('held', given.held, duration),
      sweepStalled: limits('sweepStalled', given.sweepStalled, duration),
      sweepOverdue: limits('sweepOverdue', given.sweepOverdue, duration),
      missed: limits('missed', given.missed, count),
    },
    lease: given.lease,
  };
}

function limits<V extends Duration>(
  name: Figure,
  given: HealthLimit<V>,
  parse: (name: string, value: V) => number,
): Limits {
  const levels = typeof given === 'object' && given !== null ? given : { degraded: given };
  const unknown = Object.keys(levels).find((level) => level !== 'degraded' && level !== 'down');
  if (unknown !== undefined) throw invalid(`${name}.${unknown}`, 'unknown', 'degraded or down');
  const limit = (level: 'degraded' | 'down'): number => {
    const value = levels[level];
    return value === undefined || value === false ? Infinity : parse(`${name}.${level}`, value);
  };
  return { degraded: limit('degraded'), down: limit('down') };
}

function duration(name: string, value: Duration): number {
  const isText = typeof value === 'string' && value !== '' && value.length <= 100;
  const milliseconds = isText ? ms(value as StringValue) : value;
  if (typeof milliseconds === 'number' && milliseconds > 0 && milliseconds <= Number.MAX_SAFE_INTEGER)
    return milliseconds;
  throw invalid(name, value, `milliseconds above 0, or text such as '30s' or '5 minutes'`);
}

function count(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(name, value, 'a whole number, 0 or above');
}

const invalid = (name: string, value: unknown, expected: string): InvalidOptionsError =>
  new InvalidOptionsError(`SparkHealthIndicator.check: ${name}`, value, expected);

/** Options that are given as undefined have their defaults. */
const defined = (options: SparkHealthOptions): SparkHealthOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
