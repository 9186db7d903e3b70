import { poolSize, SPARE } from '../../database/pool-size.js';
import { error, type Found, ok, warning } from './finding.js';
import type { Patient } from './patient.js';

/** The pool of an application, and how many deliveries it handles at once. */
export interface PoolUse {
  readonly pool: number;
  readonly concurrency: number;
  /** Whether the application handles deliveries. */
  readonly isWorker: boolean;
}

/** Whether the pool leaves connections free beside those of handlers. */
export async function checkPool({ spark }: Patient): Promise<Found[]> {
  const { concurrency, dataSource, handlers, settings } = spark;
  const isWorker = settings.worker.enabled && handlers.all().length > 0;
  return judgePool({ pool: poolSize(dataSource), concurrency, isWorker });
}

/** Judges the size of a pool. A database with one connection has none. */
export function judgePool({ pool, concurrency, isWorker }: PoolUse): Found[] {
  if (!isWorker) return [ok('This application handles no deliveries, so handlers hold no connections.')];
  if (pool === Infinity) return [];
  const use = `The pool has ${pool} connections, and up to ${concurrency} deliveries are handled at once`;
  const advice = `Set the poolSize of the DataSource to ${concurrency + SPARE} or more, or lower worker.concurrency.`;
  if (concurrency >= pool)
    return [error(`${use}: handlers that use the database can hold all of them, and everything else waits.`, advice)];
  if (concurrency > pool - SPARE) return [warning(`${use}: few are left for everything else.`, advice)];
  return [ok(`${use}.`)];
}
