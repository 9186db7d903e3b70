import { Logger } from '@nestjs/common';
import { prepareDataSource } from '../database/prepare-data-source.js';
import { withRunner } from '../database/statement.js';
import { findHidden } from '../entity/row-security.js';
import { adoptSweeps } from '../source/former-names.js';
import { compareClocks } from './compare-clocks.js';
import type { Spark } from './create-spark.js';

/** Makes the DataSource ready, and begins to see its writes. Throws what prepareDataSource throws. */
export async function attach({ dataSource, dialect, tables, settings, subscriber, criteria }: Spark): Promise<void> {
  await prepareDataSource(dataSource, dialect, tables, settings);
  dataSource.subscribers.push(subscriber);
  criteria.attach(dataSource);
}

/** Registers the handlers that were found, and begins to see the writes that sources are about. */
export async function register(spark: Spark): Promise<void> {
  const { dataSource, dialect, tables, registered, handlerPauses, handlers, sources, clock, rules } = spark;
  await compareClocks(spark);
  await withRunner(dataSource.manager, (runner) =>
    dialect.exclusively(runner.manager, async (alone) => {
      await registered.register(alone, handlers.all(), clock.now());
      await handlerPauses.followNames(alone);
      await adoptSweeps(alone, dialect, tables, sources.all());
    }),
  );
  rules.build();
  await warnOfHiddenRows(spark);
}

async function warnOfHiddenRows({ dataSource }: Spark): Promise<void> {
  const entities = dataSource.entityMetadatas.filter(({ tableType }) => tableType === 'regular');
  const hidden = await findHidden(dataSource.manager, entities);
  if (hidden.length === 0) return;
  new Logger('Spark').warn(
    `PostgreSQL hides rows of ${hidden.map(({ name }) => name).join(', ')} from Spark by row-level security. What it hides, rechecks and ` +
      `sweeps miss, and no handler gets. Let Spark connect as a role with BYPASSRLS: a DataSource of its own, which reads ` +
      `the same tables.`,
  );
}
