import type { DataSource } from 'typeorm';
import { sqlIdentifier } from '../../config/option-parsers.js';
import type { Dialect } from '../../database/dialect.js';
import { dialectOf } from '../../database/dialects.js';
import { StatementDeadline } from '../../database/statement-deadline.js';
import { type TableNames, tableNames } from '../../database/table-names.js';
import { MisuseError } from '../command.error.js';
import { connectDataSource } from './data-source-file.js';
import { redirectConsole } from './stderr-logger.js';
import type { Target } from './target.js';

/** The place of Spark's tables, which may be missing or old. */
export interface OpenSchema {
  readonly dataSource: DataSource;
  readonly dialect: Dialect;
  readonly names: TableNames;
  readonly prefix: string;
}

const STATEMENT_TIMEOUT = 30_000;

/** Connects the DataSource of a file for work on the tables themselves. Throws MisuseError without one, and what connecting throws. */
export async function withSchema<T>(target: Target, work: (schema: OpenSchema) => Promise<T>): Promise<T> {
  if (target.dataSource === undefined)
    throw new MisuseError(
      'Say where the tables are to be: --data-source dist/data-source.js. The application itself does not boot without its tables.',
    );
  redirectConsole();
  const prefix = sqlIdentifier('tablePrefix', target.tablePrefix ?? 'spark_', 40);
  const schema = target.schema === undefined ? undefined : sqlIdentifier('schema', target.schema, 63);
  const dataSource = await connectDataSource(target.dataSource);
  try {
    const names = tableNames(dataSource, prefix, schema);
    const dialect = dialectOf(dataSource, names);
    void new StatementDeadline(dataSource, STATEMENT_TIMEOUT);
    return await work({ dataSource, dialect, names, prefix });
  } finally {
    await dataSource.destroy();
  }
}
