import type { DynamicModule, INestApplicationContext, LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import type { Rest } from '../../common/rest.js';
import { shown } from '../../error/text-of.js';
import { SPARK, type Spark } from '../../runtime/create-spark.js';
import { SparkRegistry } from '../../spark.registry.js';
import { MisuseError } from '../command.error.js';
import { loadModule } from './application-module.js';
import { RestModule } from './rest.module.js';
import type { Session } from './session.js';
import type { Target } from './target.js';

class CommandModule {}

/**
 * Boots an application at rest: it has all its providers, and nothing of Spark or of ScheduleModule runs by itself.
 *
 * @param logger gets the log lines of the application
 */
export async function bootApplication(
  file: string,
  { name }: Target,
  rest: Rest,
  logger: LoggerService,
): Promise<Session> {
  const application = (await loadModule(file)) as DynamicModule;
  const module: DynamicModule = { module: CommandModule, imports: [RestModule.of(rest), application] };
  const app = await NestFactory.createApplicationContext(module, { logger, abortOnError: false });
  try {
    const { dataSource, service } = sparkIn(app, name);
    const token = getDataSourceToken(dataSource === 'default' ? undefined : dataSource);
    const all = app.get<symbol, Spark>(SPARK, { strict: false, each: true });
    return {
      dataSource: app.get<DataSource>(token, { strict: false }),
      service,
      spark: all.find((spark) => spark.dataSourceName === dataSource)!,
      isApplication: true,
      close: () => app.close(),
    };
  } catch (error) {
    await app.close();
    throw error;
  }
}

function sparkIn(app: INestApplicationContext, name: string | undefined) {
  const all = registryOf(app).all();
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
