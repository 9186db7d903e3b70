import { parseDuration, parseTimeout, refuseUnknown, wholeNumberWithin } from '../config/option-parsers.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { BatchHandlerOptions, GroupHandlerOptions } from './group-handler.decorator.js';
import { quietUntil } from './quiet-hours.js';

/** How the events of a handler come together in calls. */
export interface Batch {
  /** How many events a call has at most. */
  readonly max: number;
  /** How long the first event waits for more, in milliseconds. */
  readonly wait: number;
  /** How digests are made; undefined if calls are no digests. */
  readonly digest: Digest | undefined;
}

/** How the digests of a handler are made. */
export interface Digest {
  /**
   * The key of an event.
   *
   * @throws InvalidOptionsError if it cannot be stored, and what the function of the application throws
   */
  keyOf(event: SparkEvent): string;
  /** Until when an event is quiet at an instant, both in epoch milliseconds; undefined if it is not. Throws what the application throws. */
  quietUntil(event: SparkEvent, instant: number): number | undefined;
  /** How long after a call of a key there is no other, in milliseconds. */
  readonly throttle: number | undefined;
}

type Options = GroupHandlerOptions | BatchHandlerOptions;

const MOST = 1_000;
const USUAL = 100;
const LONGEST_KEY = 255;

/**
 * Reads how the events of a handler come together. Returns undefined if it gets single events.
 *
 * @param option makes the name of an option for messages
 * @throws InvalidOptionsError
 */
export function batchOf(options: Options, option: (key: string) => string): Batch | undefined {
  const { batch } = options;
  if (batch === undefined) return undefined;
  const part = (name: string) => option(`batch.${name}`);
  refuseUnknown(option('batch'), batch, ['max', 'wait', 'by', 'quiet', 'throttle'], part);
  const max = wholeNumberWithin(part('max'), batch.max ?? USUAL, 1, MOST);
  const digest = digestOf(options as BatchHandlerOptions, option);
  if (digest && batch.wait === undefined)
    throw new InvalidOptionsError(part('wait'), undefined, 'the time in which the events of a key come together');
  // Windows of digests are in the database, and need no timer.
  const parse = digest ? parseDuration : parseTimeout;
  return { max, wait: batch.wait === undefined ? 0 : parse(part('wait'), batch.wait), digest };
}

function digestOf({ batch, rateLimit, fairBy }: BatchHandlerOptions, option: (key: string) => string) {
  const { by, quiet, throttle } = batch;
  const part = (name: string) => option(`batch.${name}`);
  if (by === undefined) {
    for (const name of ['quiet', 'throttle'] as const)
      if (batch[name] !== undefined) throw new InvalidOptionsError(part(name), batch[name], 'left out without by');
    return undefined;
  }
  if (typeof by !== 'function') throw new InvalidOptionsError(part('by'), by, 'a function that returns a key');
  for (const [name, field] of [
    ['rateLimit.key', rateLimit?.key],
    ['fairBy', fairBy],
  ] as const)
    if (field !== undefined) throw new InvalidOptionsError(option(name), field, 'left out with batch.by');
  // What is no function is checked at boot.
  if (quiet !== undefined && typeof quiet !== 'function') quietUntil(part, quiet, 0);
  return {
    keyOf: (event: SparkEvent) => keyFrom(part('by'), by(event)),
    quietUntil(event: SparkEvent, instant: number) {
      const hours = typeof quiet === 'function' ? quiet(event) : quiet;
      return hours === undefined ? undefined : quietUntil(part, hours, instant);
    },
    throttle: throttle === undefined ? undefined : parseDuration(part('throttle'), throttle),
  };
}

function keyFrom(option: string, value: unknown): string {
  const key = typeof value === 'number' && Number.isFinite(value) ? String(value) : value;
  if (typeof key === 'string' && key !== '' && key.length <= LONGEST_KEY && key.isWellFormed() && !key.includes('\0'))
    return key;
  throw new InvalidOptionsError(
    option,
    value,
    `a function that returns a number, or text of 1 to ${LONGEST_KEY} characters`,
  );
}
