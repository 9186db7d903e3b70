import type { RedeliveryOptions, SparkService } from 'nestjs-spark';
import type { Query } from '../view/query.js';
import type { Progress } from '../view/work.js';
import type { Act, BulkAction } from './act.js';

/** How far an action on many deliveries has come. */
export interface BulkResult {
  readonly count: number;
  /** Whether it has worked on all deliveries. */
  readonly isComplete: boolean;
}

// A page with a count must not take long. A larger number is shown as "at least".
const COUNT_TIME = 3_000;
const COUNT_CHUNK = 10_000;
const MOST_OF_FEW = 1_000;

/** Counts the deliveries that an action would change. */
export const countOf = (spark: SparkService, act: Act<BulkAction>, query: Query): Promise<BulkResult> =>
  limited(COUNT_TIME, (options) => call(spark, act, query, { ...options, dryRun: true, chunk: COUNT_CHUNK }));

/**
 * Changes the deliveries, in chunks of 1,000, until all are done, the time is over or the signal ends it. It does at least one chunk.
 *
 * @param onProgress called after each chunk with how many are done
 */
export const changeAll = (
  spark: SparkService,
  act: Act<BulkAction>,
  query: Query,
  time: number,
  { signal }: Pick<Progress, 'signal'>,
  onProgress: (done: number) => void,
): Promise<BulkResult> => limited(time, (options) => call(spark, act, query, options), signal, onProgress);

async function limited(
  time: number,
  work: (options: RedeliveryOptions) => Promise<number>,
  left?: AbortSignal,
  tell?: (done: number) => void,
): Promise<BulkResult> {
  const stop = new AbortController();
  const started = performance.now();
  let done = 0;
  const onProgress = (soFar: number) => {
    done = soFar;
    tell?.(done);
    if (left?.aborted || (soFar > 0 && performance.now() - started >= time)) stop.abort();
  };
  try {
    return { count: await work({ onProgress, signal: stop.signal }), isComplete: true };
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) return { count: done, isComplete: false };
    throw error;
  }
}

async function call(
  spark: SparkService,
  { action }: Act<BulkAction>,
  query: Query,
  options: RedeliveryOptions,
): Promise<number> {
  if (action === 'replay') {
    const repeat = query.text('repeat') === 'true';
    return spark.replay({ ...query.events(), handler: query.needed('handler'), repeat }, options);
  }
  const filter = query.deliveries();
  const isEmpty = Object.keys(filter).length === 0;
  if (action === 'retry') return spark.retry(filter, options);
  const chosen = isEmpty ? ({ all: true } as const) : filter;
  if (action === 'discard') return spark.discard(chosen, options);
  const limit = query.number('limit', 1, MOST_OF_FEW);
  return spark.release(chosen, limit === undefined ? options : { ...options, limit });
}
