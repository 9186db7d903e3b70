import type { DataSource, EntityMetadata } from 'typeorm';

const TABLES = [
  'event',
  'delivery',
  'attempt',
  'recheck',
  'condition',
  'handler',
  'pause',
  'limit',
  'gathered',
  'throttle',
  'worker',
  'chore',
  'alert',
  'sweep',
  'sweep_range',
  'group',
  'version',
] as const;

/** The names of Spark's tables: escaped for SQL, and as `plain` for TypeORM's schema builder. */
export type TableNames = Readonly<Record<(typeof TABLES)[number], string>> & {
  readonly plain: Readonly<Record<(typeof TABLES)[number], string>>;
  /** The schema of the tables; undefined if none is named. */
  readonly schema: string | undefined;
};

/** Names the tables of one DataSource. */
export function tableNames(dataSource: DataSource, prefix: string, schema?: string): TableNames {
  const { driver, options } = dataSource;
  const place = schema ?? (options.type === 'postgres' ? options.schema : undefined);
  const each = (name: (table: string) => string) =>
    Object.fromEntries(TABLES.map((table) => [table, name(prefix + table)])) as Record<(typeof TABLES)[number], string>;
  return {
    ...each((table) =>
      [place, table]
        .filter((part) => part !== undefined)
        .map((part) => driver.escape(part))
        .join('.'),
    ),
    schema: place,
    plain: each((table) => (place === undefined ? table : `${place}.${table}`)),
  };
}

/** The table of an entity, with its schema or database if there is one, escaped for SQL. */
export const tablePath = ({ dataSource: { driver }, tablePath: path }: EntityMetadata): string =>
  path
    .split('.')
    .map((part) => driver.escape(part))
    .join('.');
