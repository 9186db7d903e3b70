/** The options that name Spark's tables, as an application sets them. */
export interface NamingOptions {
  readonly tablePrefix?: string;
  readonly schema?: string;
}

/** The call that returns the migrations of these tables, as an application writes it. */
export function migrationsCall({ tablePrefix = 'spark_', schema }: NamingOptions): string {
  const options = [
    ...(tablePrefix === 'spark_' ? [] : [`tablePrefix: '${tablePrefix}'`]),
    ...(schema === undefined ? [] : [`schema: '${schema}'`]),
  ];
  return `sparkMigrations(${options.length === 0 ? '' : `{ ${options.join(', ')} }`})`;
}
