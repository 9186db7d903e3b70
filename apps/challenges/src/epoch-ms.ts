import type { ColumnOptions } from 'typeorm';

/**
 * A column for an instant. A number of milliseconds is the same on every database and in every time zone, which the
 * databases' own types of date and time are not.
 */
export const EPOCH_MS: ColumnOptions = {
  type: 'bigint',
  transformer: {
    to: (instant: Date) => instant.getTime(),
    // PostgreSQL and MariaDB give a bigint as text.
    from: (stored: number | string) => new Date(Number(stored)),
  },
};
