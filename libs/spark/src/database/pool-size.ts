import type { DataSource } from 'typeorm';
import { hasOneConnection } from './traits.js';

const MOST = 10;
/** How many connections of the pool handlers leave free, for Spark and for the rest of the application. */
export const SPARE = 2;

/** The default of `worker.concurrency`. It is smaller than the pool, so that handlers cannot hold all connections. */
export function usualConcurrency(dataSource: DataSource): number {
  return Math.max(1, Math.min(MOST, poolSize(dataSource) - SPARE));
}

/** How many connections a DataSource has. SQLite has one that all code shares, so its pool never runs out. */
export function poolSize(dataSource: DataSource): number {
  if (hasOneConnection(dataSource)) return Infinity;
  const { poolSize: size, extra } = dataSource.options as {
    poolSize?: number;
    extra?: { max?: number; connectionLimit?: number };
  };
  return size ?? extra?.max ?? extra?.connectionLimit ?? 10;
}
