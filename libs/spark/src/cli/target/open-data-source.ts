import { SystemClock } from '../../common/clock.js';
import { settingsOf } from '../../config/spark.settings.js';
import { checkSchemaOption, prepareDataSource } from '../../database/prepare-data-source.js';
import { compareClocks } from '../../runtime/compare-clocks.js';
import { createSpark } from '../../runtime/create-spark.js';
import { SparkService } from '../../spark.service.js';
import { connectDataSource } from './data-source-file.js';
import type { Session } from './session.js';
import type { Target } from './target.js';

const NEVER = { started: true, start: async () => undefined, pause: async () => undefined };

/**
 * Opens Spark's tables through the DataSource of a file. It captures no writes, registers nothing, and has no sources and handlers.
 * Throws what connectDataSource and prepareDataSource throw.
 *
 * @param isPrepared whether the tables are checked, and SQLite is set as Spark needs it; otherwise all is left as it is
 */
export async function openDataSource(
  file: string,
  { tablePrefix, schema }: Target,
  isPrepared: boolean,
): Promise<Session> {
  const naming = { ...(tablePrefix === undefined ? {} : { tablePrefix }), ...(schema === undefined ? {} : { schema }) };
  const settings = settingsOf(naming);
  const dataSource = await connectDataSource(file);
  try {
    const spark = createSpark(dataSource, settings, new SystemClock());
    if (isPrepared) await prepareDataSource(dataSource, spark.dialect, spark.tables, settings);
    else checkSchemaOption(dataSource, settings);
    await compareClocks(spark);
    const service = new SparkService(spark, NEVER);
    return { dataSource, service, spark, isApplication: false, close: () => dataSource.destroy() };
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}
