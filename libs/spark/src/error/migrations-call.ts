/** The options that name Spark's tables, as a user gives them. */
export interface NamingOptions {
  readonly tablePrefix?: string;
  readonly schema?: string;
}

/** How a user writes the call that gives the migrations of these tables. */
export function migrationsCall({ tablePrefix = 'spark_', schema }: NamingOptions): string {
  const options = [
    ...(tablePrefix === 'spark_' ? [] : [`tablePrefix: '${tablePrefix}'`]),
    ...(schema === undefined ? [] : [`schema: '${schema}'`]),
  ];
  return `sparkMigrations(${options.length === 0 ? '' : `{ ${options.join(', ')} }`})`;
}
