import { parseTimeout, positiveInteger, refuseUnknown } from '../config/option-parsers.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { GroupHandlerOptions } from './group-handler.decorator.js';

/** How many of its deliveries a handler may begin within a time, over all processes. */
export interface Rate {
  readonly max: number;
  /** In milliseconds. */
  readonly per: number;
  /** Whether each partition has a rate of its own. */
  readonly isByPartition: boolean;
}

/** The limits of a handler over all processes. They are kept in the database. */
export interface FleetLimits {
  readonly rate: Rate | undefined;
  /** How many of its deliveries all processes handle at once. */
  readonly concurrency: number | undefined;
}

type Options = Pick<GroupHandlerOptions, 'rateLimit' | 'fleetConcurrency' | 'fairBy'>;

/** Times are counted in hundredths of a rate's time, and a start may be a tenth of a second late. */
const SHORTEST = 1_000;
const LONGEST_FIELD = 100;

/**
 * Reads the limits of a handler over all processes. Returns undefined if it has none.
 *
 * @param option makes the name of an option for messages
 * @throws InvalidOptionsError
 */
export function fleetLimitsOf(options: Options, option: (key: string) => string): FleetLimits | undefined {
  const { rateLimit, fleetConcurrency: concurrency } = options;
  if (concurrency !== undefined) positiveInteger(option('fleetConcurrency'), concurrency);
  if (rateLimit === undefined && concurrency === undefined) return undefined;
  return { rate: rateLimit && rateOf(rateLimit, option), concurrency };
}

/**
 * The field of the metadata by which the deliveries of a handler are partitioned; undefined if they are not.
 *
 * @throws InvalidOptionsError
 */
export function partitionByOf({ rateLimit, fairBy }: Options, option: (key: string) => string): string | undefined {
  const key = rateLimit?.key;
  for (const [name, field] of [
    ['rateLimit.key', key],
    ['fairBy', fairBy],
  ] as const)
    if (field !== undefined && !isField(field))
      throw new InvalidOptionsError(option(name), field, `the name of a field of the metadata, such as 'tenant'`);
  if (key !== undefined && fairBy !== undefined && key !== fairBy)
    throw new InvalidOptionsError(option('fairBy'), fairBy, `the same field as rateLimit.key, or left out`);
  return key ?? fairBy;
}

function rateOf(rateLimit: NonNullable<Options['rateLimit']>, option: (key: string) => string): Rate {
  const part = (name: string) => option(`rateLimit.${name}`);
  refuseUnknown(option('rateLimit'), rateLimit, ['max', 'per', 'key'], part);
  const max = positiveInteger(part('max'), rateLimit.max);
  const per = parseTimeout(part('per'), rateLimit.per);
  if (per < SHORTEST) throw new InvalidOptionsError(part('per'), rateLimit.per, 'at least 1 second');
  return { max, per, isByPartition: rateLimit.key !== undefined };
}

const isField = (field: unknown): boolean =>
  typeof field === 'string' && field !== '' && field.length <= LONGEST_FIELD && field.isWellFormed();
