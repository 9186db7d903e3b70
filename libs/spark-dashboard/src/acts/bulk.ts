import type { BulkOptions, DeliveryRecordFilter, SparkService } from 'nestjs-spark';
import type { Query } from '../view/query.js';
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

/** Changes the deliveries, in chunks of 1,000, until all are done or the time is over. It does at least one chunk. */
export const changeAll = (spark: SparkService, act: Act<BulkAction>, query: Query, time: number): Promise<BulkResult> =>
  limited(time, (options) => call(spark, act, query, options));

async function limited(time: number, work: (options: BulkOptions) => Promise<number>): Promise<BulkResult> {
  const stop = new AbortController();
  const started = performance.now();
  let done = 0;
  const onProgress = (soFar: number) => {
    done = soFar;
    if (soFar > 0 && performance.now() - started >= time) stop.abort();
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
  options: BulkOptions,
): Promise<number> {
  const filter = query.deliveries();
  const isEmpty = Object.keys(filter).length === 0;
  if (action === 'retry') return spark.retry(filter, options);
  if (action === 'discard') return spark.discard(isEmpty ? { all: true } : filter, options);
  const few = query.number('limit', 1, MOST_OF_FEW);
  if (few !== undefined) return releaseFew(spark, filter, few, options);
  return spark.release(isEmpty ? { all: true } : filter, options);
}

async function releaseFew(spark: SparkService, filter: DeliveryRecordFilter, limit: number, options: BulkOptions) {
  const { records } = await spark.deliveries({ ...filter, state: 'held' }, { limit });
  if (records.length === 0) return 0;
  return spark.release({ deliveryId: records.map(({ id }) => id) }, options);
}
