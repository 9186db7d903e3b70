import { DataSource, type DataSourceOptions } from 'typeorm';
import { dialectOf } from '../../libs/spark/src/database/dialects.js';
import { migrateAll } from '../../libs/spark/src/database/schema/schema.js';
import { withNewRunner } from '../../libs/spark/src/database/statement.js';
import { tableNames } from '../../libs/spark/src/database/table-names.js';

/** Makes Spark's tables as a boot with `synchronize` does. No application boots for it: Nest has one logger for all of a process. */
export async function makeSparkTables(options: DataSourceOptions): Promise<void> {
  const dataSource = await new DataSource(options).initialize();
  const names = tableNames(dataSource, 'spark_');
  await withNewRunner(dataSource, ({ manager }) => migrateAll(manager, dialectOf(dataSource, names), names));
  await dataSource.destroy();
}
