import type { DataSource } from 'typeorm';
import { hasOneConnection } from './traits.js';

const MOST = 10;
/** How many connections handlers leave to Spark, and to whoever else needs one. */
export const SPARE = 2;

/** How many deliveries a process handles at once where nobody says how many: so that handlers cannot hold the whole pool. */
export function usualConcurrency(dataSource: DataSource): number {
  return Math.max(1, Math.min(MOST, poolSize(dataSource) - SPARE));
}

/** How many connections a DataSource has; SQLite has one that all share, which never runs out. */
export function poolSize(dataSource: DataSource): number {
  if (hasOneConnection(dataSource)) return Infinity;
  const { poolSize: size, extra } = dataSource.options as {
    poolSize?: number;
    extra?: { max?: number; connectionLimit?: number };
  };
  return size ?? extra?.max ?? extra?.connectionLimit ?? 10;
}
