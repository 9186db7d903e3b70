import type { DynamicModule, INestApplicationContext, LoggerService, Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SPARK_CLOCK, type SparkClock, SparkModule, type SparkModuleOptions, SparkService } from 'nestjs-spark';
import { DataSource, type DataSourceOptions } from 'typeorm';
import type { TestDatabase } from './databases.js';

export interface TestApp {
  readonly app: INestApplicationContext;
  readonly dataSource: DataSource;
  readonly spark: SparkService;
  /** What was logged, `level message`. */
  readonly logs: string[];
  close(): Promise<void>;
}

export interface TestAppOptions {
  database: TestDatabase;
  entities: DataSourceOptions['entities'];
  providers?: Provider[];
  imports?: DynamicModule[];
  /** Options of its SparkModule, or the module itself. */
  spark?: SparkModuleOptions | DynamicModule;
  /** What Spark goes by, in place of the process's clock. */
  clock?: SparkClock;
  /** More options of the DataSource. */
  dataSource?: object;
  /** Its logger, in place of the one that collects `logs`. */
  logger?: LoggerService;
}

class TestModule {}

/** An application with Spark on a database of its own. */
export async function startApp(options: TestAppOptions): Promise<TestApp> {
  const { spark } = options;
  const logs: string[] = [];
  const log = (level: string) => (message: unknown) => void logs.push(`${level} ${String(message)}`);
  const collecting: LoggerService = { log: log('log'), error: log('error'), warn: log('warn'), debug: log('debug') };
  const { logger = collecting } = options;
  const module: DynamicModule = {
    module: TestModule,
    imports: [
      TypeOrmModule.forRoot({
        ...options.database.options,
        entities: options.entities,
        synchronize: true,
        ...options.dataSource,
      }),
      spark && 'module' in spark ? spark : SparkModule.forRoot(spark),
      ...(options.imports ?? []),
    ],
    providers: options.providers ?? [],
  };
  const app = options.clock
    ? await atClock(module, options.clock, logger)
    : await NestFactory.createApplicationContext(module, { logger, abortOnError: false });
  return {
    app,
    dataSource: app.get(DataSource),
    spark: app.get(SparkService),
    logs,
    close: () => app.close(),
  };
}

async function atClock(module: DynamicModule, clock: SparkClock, logger: LoggerService) {
  const testing = Test.createTestingModule({ imports: [module] }).setLogger(logger);
  const app = await testing.overrideProvider(SPARK_CLOCK).useValue(clock).compile();
  return app.init();
}
