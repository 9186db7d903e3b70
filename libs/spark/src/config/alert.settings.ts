import { HEALTH_LIMITS } from '../common/health-limits.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { AlertCondition, AlertListener, AlertOption, AlertOptions } from './alert.options.js';
import type { Duration } from './duration.js';
import { parseBoolean, parseDuration, refuseUnknown, wholeNumber } from './option-parsers.js';

/** The limits of a condition. It has some of them; the others are 0. Times are in milliseconds. */
export interface AlertLimits {
  readonly moreThan: number;
  readonly olderThan: number;
  readonly within: number;
}

/** A function among the options that gets alerts. */
export interface AlertCall {
  /** The path of the option. */
  readonly name: string;
  /** The conditions whose alerts it gets; undefined for all. */
  readonly conditions: readonly AlertCondition[] | undefined;
  readonly call: AlertListener;
}

/** The options of alerts after the check, complete. */
export interface AlertSettings {
  /** The conditions that are not switched off. */
  readonly limits: ReadonlyMap<AlertCondition, AlertLimits>;
  readonly calls: readonly AlertCall[];
  readonly logger: boolean;
}

/** The limits that each condition has, with their defaults. */
const DEFAULTS: Readonly<Record<AlertCondition, Readonly<Record<string, Duration>>>> = {
  discarded: { moreThan: HEALTH_LIMITS.discarded, within: HEALTH_LIMITS.discardedWithin },
  backlog: { olderThan: HEALTH_LIMITS.backlog },
  missed: { within: HEALTH_LIMITS.missedWithin },
  orphans: { moreThan: HEALTH_LIMITS.orphans },
  held: { olderThan: HEALTH_LIMITS.held },
  sweepStalled: { olderThan: HEALTH_LIMITS.sweepStalled },
  sweepOverdue: { olderThan: HEALTH_LIMITS.sweepOverdue },
  rechecks: { olderThan: '15m' },
  lease: {},
};

/** All conditions. */
export const ALERT_CONDITIONS = Object.keys(DEFAULTS) as AlertCondition[];

/** Checks the options and adds the defaults. Returns undefined for `false`. Throws InvalidOptionsError. */
export function alertSettings(options: AlertOptions | false = {}): AlertSettings | undefined {
  if (options === false) return undefined;
  refuseUnknown('alerts', options, ['onAlert', ...ALERT_CONDITIONS.map(optionOf), 'logger']);
  const limits = new Map<AlertCondition, AlertLimits>();
  const calls: AlertCall[] = [];
  const add = (name: string, call: AlertListener | undefined, conditions?: readonly AlertCondition[]) => {
    if (call !== undefined) calls.push({ name, conditions, call: checked(name, call) });
  };
  add('alerts.onAlert', options.onAlert);
  for (const condition of ALERT_CONDITIONS) {
    const name = `alerts.${optionOf(condition)}`;
    const value = options[optionOf(condition)];
    if (value === false) continue;
    const given: Exclude<AlertOption, false> = value === undefined ? {} : value;
    const { notify, ...own } = typeof given === 'function' ? { notify: given } : partsOf(name, given, condition);
    limits.set(condition, limitsOf(name, { ...DEFAULTS[condition], ...own }));
    add(name, notify, [condition]);
  }
  return { limits, calls, logger: parseBoolean('alerts.logger', options.logger ?? true) };
}

type OptionName = `on${Capitalize<AlertCondition>}`;

const optionOf = (condition: AlertCondition): OptionName =>
  `on${condition[0]!.toUpperCase()}${condition.slice(1)}` as OptionName;

/** The parts of a condition's option, without those that are given as undefined. */
function partsOf(name: string, given: object, condition: AlertCondition): { notify?: AlertListener } {
  refuseUnknown(name, given, [...Object.keys(DEFAULTS[condition]), 'notify']);
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function limitsOf(name: string, given: Readonly<Record<string, Duration>>): AlertLimits {
  const { moreThan, olderThan, within } = given;
  return {
    moreThan: moreThan === undefined ? 0 : wholeNumber(`${name}.moreThan`, moreThan as number),
    olderThan: olderThan === undefined ? 0 : parseDuration(`${name}.olderThan`, olderThan),
    within: within === undefined ? 0 : parseDuration(`${name}.within`, within),
  };
}

function checked(name: string, call: unknown): AlertListener {
  if (typeof call === 'function') return call as AlertListener;
  throw new InvalidOptionsError(name, call, 'a function that gets alerts');
}
