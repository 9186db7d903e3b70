import { ConsoleLogger, type DynamicModule, type INestApplicationContext, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import type { Rest } from '../../common/rest.js';
import { shown } from '../../error/text-of.js';
import { SPARK, type Spark } from '../../runtime/create-spark.js';
import { type RegisteredSpark, SparkRegistry } from '../../spark.registry.js';
import { MisuseError } from '../command.error.js';
import { loadModule } from './application-module.js';
import { RestModule } from './rest.module.js';
import type { Session, Workforce } from './session.js';
import type { Target } from './target.js';

class CommandModule {}

/**
 * Boots an application at rest: it has all its providers, and nothing of Spark or of ScheduleModule runs by itself.
 *
 * @param logger gets the log lines of the application
 */
export function bootApplication(file: string, { name }: Target, rest: Rest, logger: LoggerService): Promise<Session> {
  return boot(file, rest, logger, (app) => {
    const { dataSource, service } = chosenOf(registryOf(app), name);
    const token = getDataSourceToken(dataSource === 'default' ? undefined : dataSource);
    const all = app.get<symbol, Spark>(SPARK, { strict: false, each: true });
    return {
      dataSource: app.get<DataSource>(token, { strict: false }),
      service,
      spark: all.find((spark) => spark.dataSourceName === dataSource)!,
      isApplication: true,
      close: () => app.close(),
    };
  });
}

/**
 * Boots an application to do its work.
 *
 * @param rest lets it rest, so that it does only what the command calls; undefined lets it work by itself
 * @param logger gets the log lines of the application; `json` writes them to stdout as JSON, undefined as Nest does it
 */
export function bootWorkforce(
  file: string,
  { name }: Target,
  rest: Rest | undefined,
  logger: LoggerService | 'json' | undefined,
): Promise<Workforce> {
  const writer = logger === 'json' ? new ConsoleLogger({ json: true }) : logger;
  return boot(file, rest, writer, (app) => {
    const registry = registryOf(app);
    const chosen = name === undefined ? registry.all() : [chosenOf(registry, name)];
    return { services: chosen.map(({ service }) => service), close: () => app.close() };
  });
}

async function boot<T>(
  file: string,
  rest: Rest | undefined,
  logger: LoggerService | undefined,
  use: (app: INestApplicationContext) => T,
): Promise<T> {
  const application = (await loadModule(file)) as DynamicModule;
  const imports = rest ? [RestModule.of(rest), application] : [application];
  const options = { abortOnError: false, ...(logger ? { logger } : {}) };
  const app = await NestFactory.createApplicationContext({ module: CommandModule, imports }, options);
  try {
    return use(app);
  } catch (error) {
    await app.close();
    throw error;
  }
}

function chosenOf(registry: SparkRegistry, name: string | undefined): RegisteredSpark {
  const all = registry.all();
  const wanted = name ?? (all.length === 1 ? all[0]!.dataSource : 'default');
  const chosen = all.find(({ dataSource }) => dataSource === wanted);
  if (chosen) return chosen;
  const names = all.map(({ dataSource }) => shown(dataSource)).join(', ');
  throw new MisuseError(
    name === undefined
      ? `The application has several SparkModules. Choose one: --name ${names}.`
      : `The application has no SparkModule of the DataSource ${shown(name)}. It has: ${names}.`,
  );
}

function registryOf(app: INestApplicationContext): SparkRegistry {
  try {
    return app.get(SparkRegistry, { strict: false });
  } catch {
    throw new MisuseError(
      'The application does not import SparkModule, or not that of this copy of nestjs-spark. Run the spark of its own folder: npx spark',
    );
  }
}
