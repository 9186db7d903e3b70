import {
  type DynamicModule,
  Inject,
  Module,
  type NestModule,
  type OnModuleDestroy,
  type OnModuleInit,
  type Provider,
  type Type,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { SparkRegistry, type SparkService } from 'nestjs-spark';
import { Dashboard } from './http/dashboard.js';
import { adaptRoutes, dashboardController } from './http/dashboard.controller.js';
import { Responder } from './http/responder.js';
import type {
  SparkDashboardAsyncOptions,
  SparkDashboardDynamicOptions,
  SparkDashboardOptions,
  SparkDashboardStaticOptions,
} from './options/dashboard.options.js';
import { checkAsyncOptions, checkOptions, checkReturned, settingsOf } from './options/settings.js';
import { SweepWatch } from './view/sweep-watch.js';

const OPTIONS = Symbol('SPARK_DASHBOARD_OPTIONS');
const WATCHED = Symbol('SPARK_DASHBOARD_SERVICE');
const CONTROLLER = Symbol('SPARK_DASHBOARD_CONTROLLER');

/**
 * A dashboard of Spark in the application: pages that show events, deliveries, errors, sweeps and what will happen, and that can retry,
 * discard, release and pause. It is closed until `guards` or `access` say who may see it. Import it once for each DataSource, with a `path` of
 * its own.
 *
 * @example
 * @Module({
 *   imports: [
 *     TypeOrmModule.forRoot({ type: 'postgres', url, autoLoadEntities: true }),
 *     SparkModule.forRoot(),
 *     SparkDashboardModule.forRoot({ guards: [AdminGuard], environment: 'production' }),
 *   ],
 * })
 * export class AppModule {}
 */
@Module({})
export class SparkDashboardModule implements NestModule, OnModuleInit, OnModuleDestroy {
  constructor(
    @Inject(SweepWatch) private readonly sweeps: SweepWatch,
    @Inject(Dashboard) private readonly dashboard: Dashboard,
    @Inject(WATCHED) private readonly spark: () => SparkService,
    @Inject(CONTROLLER) private readonly controller: Type<unknown>,
    @Inject(HttpAdapterHost) private readonly host: HttpAdapterHost,
  ) {}

  /**
   * Creates the module.
   *
   * @param options The options. All are optional, but without `guards` and `access` every page answers 403. {@link SparkDashboardOptions} has
   * the defaults.
   * @throws InvalidOptionsError that names the option, at once; UnknownDataSourceError at boot if the DataSource has no SparkModule.
   *
   * @example
   * SparkDashboardModule.forRoot({ path: 'admin/spark', access: ({ user }) => (user?.isAdmin ? 'all' : false) })
   */
  static forRoot(options: SparkDashboardOptions = {}): DynamicModule {
    checkOptions(options);
    return dashboardModule(options, { provide: OPTIONS, useValue: options });
  }

  /**
   * Creates the module with options from a factory.
   *
   * @param options The factory of the options, as in `forRoot`; `path`, `guards`, `imports`, `decorators` and `dataSource` stand beside it.
   * @throws InvalidOptionsError that names the option: at once, or at boot if the factory has returned it.
   *
   * @example
   * SparkDashboardModule.forRootAsync({
   *   imports: [UsersModule],
   *   guards: [LoginGuard],
   *   inject: [Users],
   *   useFactory: (users: Users) => ({ access: async ({ user }) => ((await users.isAdmin(user)) ? 'all' : 'read') }),
   * })
   */
  static forRootAsync(options: SparkDashboardAsyncOptions): DynamicModule {
    checkAsyncOptions(options);
    const { inject = [], useFactory } = options;
    const create = async (...dependencies: unknown[]): Promise<SparkDashboardDynamicOptions> => {
      const returned = await useFactory(...dependencies);
      checkReturned(returned);
      return returned;
    };
    return dashboardModule(options, { provide: OPTIONS, inject, useFactory: create });
  }

  /** Adapts the routes to the framework: Nest calls this before it registers them. */
  configure(): void {
    adaptRoutes(this.controller, this.host.httpAdapter.getType());
  }

  /** Follows the sweeps from now on. */
  onModuleInit(): void {
    this.sweeps.follow(this.spark());
  }

  /** Ends what would keep the server open. */
  onModuleDestroy(): void {
    this.dashboard.end();
    this.sweeps.end();
  }
}

function dashboardModule(options: SparkDashboardStaticOptions, provider: Provider): DynamicModule {
  const { path = 'spark', guards = [], decorators = [], imports = [], dataSource } = options;
  const controller = dashboardController({ path, guards, decorators });
  return {
    module: SparkDashboardModule,
    imports,
    controllers: [controller],
    providers: [
      provider,
      { provide: CONTROLLER, useValue: controller },
      SweepWatch,
      {
        provide: WATCHED,
        inject: [SparkRegistry],
        // The registry is complete before the first onModuleInit, not before.
        useFactory: (registry: SparkRegistry) => () => registry.get(dataSource),
      },
      {
        provide: Dashboard,
        inject: [OPTIONS, WATCHED, SweepWatch, HttpAdapterHost],
        useFactory: (
          given: SparkDashboardDynamicOptions,
          spark: () => SparkService,
          sweeps: SweepWatch,
          host: HttpAdapterHost,
        ) => new Dashboard(settingsOf({ guards }, given), spark, sweeps, new Responder(host)),
      },
    ],
  };
}
