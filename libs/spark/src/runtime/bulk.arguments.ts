import {
  parseBoolean,
  parsePriority,
  positiveInteger,
  refuseUnknown,
  wholeNumberWithin,
} from '../config/option-parsers.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { BulkOptions, RedeliveryOptions } from '../store/bulk-run.js';
import { STATES_OF } from '../store/delivery-admin.js';
import type { All, Chosen, DeliveryRecordFilter, EventFilter } from '../store/record-filter.js';
import type { Spark } from './create-spark.js';
import { DELIVERY_FILTER, entityIn, EVENT_FILTER } from './spark.arguments.js';

const MOST_ROWS = 10_000;

/** Checks the options of a call that changes many rows. Throws InvalidOptionsError. */
export function checkBulk(
  method: string,
  options: BulkOptions | RedeliveryOptions,
  more: readonly string[] = [],
): void {
  refuseUnknown(method, options, ['dryRun', 'chunk', 'onProgress', 'signal', ...more]);
  const { dryRun, chunk, onProgress, signal, priority, limit }: RedeliveryOptions = options;
  const option = (name: string) => `${method} { ${name} }`;
  if (dryRun !== undefined) parseBoolean(option('dryRun'), dryRun);
  if (chunk !== undefined) wholeNumberWithin(option('chunk'), chunk, 1, MOST_ROWS);
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw new InvalidOptionsError(option('onProgress'), onProgress, 'a function');
  if (signal !== undefined && !((signal as unknown) instanceof AbortSignal))
    throw new InvalidOptionsError(option('signal'), signal, 'an AbortSignal');
  if (priority !== undefined) parsePriority(option('priority'), priority);
  if (limit !== undefined) positiveInteger(option('limit'), limit);
}

/**
 * Checks the filter of a call on deliveries.
 *
 * @throws InvalidOptionsError if the filter is empty and may not be, or names a state that the call does not apply to; and what
 *   entityIn throws
 */
export function deliveriesGiven(
  spark: Spark,
  act: keyof typeof STATES_OF,
  what: DeliveryRecordFilter | All,
  mayBeEmpty: boolean,
): Chosen<DeliveryRecordFilter> {
  const method = `SparkService.${act}`;
  const chosen = filterGiven(spark, method, what, DELIVERY_FILTER, mayBeEmpty);
  const { state } = chosen.filter;
  const states: readonly string[] = STATES_OF[act];
  if (state !== undefined && ![state].flat().every((one) => states.includes(one))) {
    const names = states.map((name) => `'${name}'`).join(' or ');
    throw new InvalidOptionsError(`${method} { state }`, state, `${names}, because ${act} changes no others`);
  }
  return chosen;
}

/** Checks the filter of a call on events. Throws as deliveriesGiven does. */
export function eventsGiven(spark: Spark, method: string, what: EventFilter | All): Chosen<EventFilter> {
  return filterGiven(spark, method, what, EVENT_FILTER, false);
}

function filterGiven<F extends EventFilter>(
  spark: Spark,
  method: string,
  what: F | All,
  names: readonly string[],
  mayBeEmpty: boolean,
): Chosen<F> {
  if (isAll(what)) {
    refuseUnknown(method, what, ['all']);
    const { all } = what as { all: unknown };
    if (all !== true) throw new InvalidOptionsError(`${method} { all }`, all, 'true');
    return { filter: {} as F, of: undefined };
  }
  const of = entityIn(spark, method, what, names);
  if (!mayBeEmpty && Object.keys(what).length === 0)
    throw new InvalidOptionsError(
      `The filter of ${method}`,
      what,
      'a filter that is not empty, or { all: true } for all',
    );
  return { filter: what, of };
}

const isAll = (what: unknown): what is All => typeof what === 'object' && what !== null && 'all' in what;
