import type { DataSource } from 'typeorm';

/** How many connections a DataSource has; SQLite's one is shared in turn, so that it never runs out. */
export function poolSize({ options }: DataSource): number {
  if (options.type === 'better-sqlite3') return Infinity;
  const { poolSize: size, extra } = options as {
    poolSize?: number;
    extra?: { max?: number; connectionLimit?: number };
  };
  return size ?? extra?.max ?? extra?.connectionLimit ?? 10;
}
