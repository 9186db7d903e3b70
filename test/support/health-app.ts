import { Controller, Get, type DynamicModule, type LoggerService } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { ScheduleModule } from '@nestjs/schedule';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SPARK_CLOCK, SparkModule, SparkService } from 'nestjs-spark';
import { type HealthProblem, SparkHealthIndicator, type SparkHealthOptions } from 'nestjs-spark/terminus';
import request from 'supertest';
import { DataSource } from 'typeorm';
import type { TestAppOptions } from './app.js';

@Controller('health')
class HealthController {
  /** The options of the next checks. */
  options: SparkHealthOptions = {};

  constructor(
    private readonly health: HealthCheckService,
    private readonly spark: SparkHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.spark.check('spark', this.options)]);
  }
}

/** What an answer says of Spark. */
export interface Health {
  /** The code of the answer. */
  readonly code: number;
  /** What it says of the whole application. */
  readonly all: string;
  readonly status: 'up' | 'degraded' | 'down';
  readonly problems: readonly HealthProblem[];
  readonly paused: readonly string[];
  readonly message: string | undefined;
  /** All of the answer. */
  readonly text: string;
}

/** An application with a health check that is asked over HTTP. */
export interface HealthApp {
  readonly app: NestExpressApplication;
  readonly spark: SparkService;
  readonly dataSource: DataSource;
  readonly logs: string[];
  /** Asks for the health with these options. */
  health(options?: SparkHealthOptions): Promise<Health>;
  close(): Promise<void>;
}

class TestModule {}

/** Starts one. Without `init` it is not initialised yet. */
export async function startHealthApp(options: TestAppOptions, init = true): Promise<HealthApp> {
  const { database, entities, spark, clock } = options;
  const logs: string[] = [];
  const log = (level: string) => (message: unknown) => void logs.push(`${level} ${String(message)}`);
  const logger: LoggerService = { log: log('log'), error: log('error'), warn: log('warn'), debug: log('debug') };
  const module: DynamicModule = {
    module: TestModule,
    imports: [
      TypeOrmModule.forRoot({ ...database.options, entities, synchronize: true, ...options.dataSource }),
      spark && 'module' in spark ? spark : SparkModule.forRoot(spark),
      ScheduleModule.forRoot(),
      TerminusModule.forRoot({ logger: false }),
      ...(options.imports ?? []),
    ],
    controllers: [HealthController],
    providers: [SparkHealthIndicator, ...(options.providers ?? [])],
  };
  let building = Test.createTestingModule({ imports: [module] }).setLogger(logger);
  if (clock) building = building.overrideProvider(SPARK_CLOCK).useValue(clock);
  const app = (await building.compile()).createNestApplication<NestExpressApplication>({ logger });
  if (init) await app.init();
  const controller = app.get(HealthController);
  return {
    app,
    spark: app.get(SparkService),
    dataSource: app.get(DataSource),
    logs,
    health: async (given = {}) => {
      controller.options = given;
      return healthIn(await request(app.getHttpServer()).get('/health'));
    },
    close: () => app.close(),
  };
}

function healthIn({ status: code, body, text }: request.Response): Health {
  const { status, problems = [], paused = [], message } = body.details?.spark ?? {};
  return { code, all: body.status, status, problems, paused, message, text };
}
