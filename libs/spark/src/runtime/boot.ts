import type { EntityManager } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import type { Rest } from '../common/rest.js';
import { prepareDataSource } from '../database/prepare-data-source.js';
import { withRunner } from '../database/statement.js';
import { shown } from '../error/text-of.js';
import { findHidden } from '../entity/row-security.js';
import { sourceNames } from '../source/source.registry.js';
import { adoptSweeps } from '../source/former-names.js';
import { compareClocks } from './compare-clocks.js';
import type { Spark } from './create-spark.js';

/** Prepares the DataSource, and begins to capture its writes. Throws what prepareDataSource throws. */
export async function attach({ dataSource, dialect, tables, settings, subscriber, criteria }: Spark): Promise<void> {
  await prepareDataSource(dataSource, dialect, tables, settings);
  dataSource.subscribers.push(subscriber);
  criteria.attach(dataSource);
}

/** Registers the handlers that were found, and begins to capture the writes that sources depend on. */
export async function register(spark: Spark): Promise<void> {
  const { dataSource, dialect, registered, handlerPauses, handlers, clock, rules } = spark;
  await compareClocks(spark);
  await withRunner(dataSource.manager, (runner) =>
    dialect.exclusively(runner.manager, async (alone) => {
      await registered.register(alone, handlers.all(), clock.now());
      await handlerPauses.followNames(alone);
      await registerSources(alone, spark);
    }),
  );
  await withRunner(dataSource.manager, (runner) => spark.adoption.begin(runner.manager));
  rules.build();
  warnOfOpenSources(spark);
  await warnOfHiddenRows(spark);
}

/** Does the same for an application at rest whose handlers are not registered: they count as present in this process alone. */
export async function registerAtRest(spark: Spark, { registersSources }: Rest): Promise<void> {
  const { dataSource, dialect, registered, handlers, adoption, rules } = spark;
  await compareClocks(spark);
  await withRunner(dataSource.manager, async ({ manager }) => {
    await registered.know(manager, handlers.all());
    if (registersSources) await dialect.exclusively(manager, (alone) => registerSources(alone, spark));
    await (registersSources ? adoption.begin(manager) : adoption.look(manager));
  });
  rules.build();
}

async function registerSources(manager: EntityManager, { dialect, tables, sources, conditions }: Spark): Promise<void> {
  const others = sources.all().filter(({ options }) => !options.trueFor);
  await adoptSweeps(manager, dialect, tables, sources.all());
  await conditions.removeOf(manager, others.flatMap(sourceNames));
}

function warnOfOpenSources({ sources, adoption, settings }: Spark): void {
  const open = sources.all().filter((source) => !adoption.has(source) && source.options.history === undefined);
  if (open.length === 0 || settings.sweep) return;
  const names = open.map(({ name }) => shown(name)).join(', ');
  new SparkLog().warn(
    `There are rows from before, and no sweep has read them for ${names}. Until one has, each change of these rows takes longer, because ` +
      `Spark reads what was true of them before. Call SparkService.baseline, schedule a sweep, or give the source \`history\`.`,
    { sources: open.map(({ name }) => name) },
  );
}

async function warnOfHiddenRows({ dataSource }: Spark): Promise<void> {
  const entities = dataSource.entityMetadatas.filter(({ tableType }) => tableType === 'regular');
  const hidden = await findHidden(dataSource.manager, entities);
  if (hidden.length === 0) return;
  new SparkLog().warn(
    `PostgreSQL hides rows of ${hidden.map(({ name }) => name).join(', ')} from Spark by row-level security. Rechecks and sweeps ` +
      `miss these rows, and no handler gets them. Let Spark connect as a role with BYPASSRLS, in a DataSource of its own that ` +
      `reads the same tables.`,
    { entities: hidden.map(({ name }) => name) },
  );
}
