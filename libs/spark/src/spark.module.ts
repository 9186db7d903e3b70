import { type DynamicModule, Inject, Module, type Provider } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ModuleRef, ModulesContainer } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { checkClock, SPARK_CLOCK, type SparkClock, SystemClock } from './common/clock.js';
import { type Rest, SPARK_REST } from './common/rest.js';
import { DecoratedMethods } from './runtime/decorated-methods.js';
import { InvalidOptionsError } from './error/invalid-options.error.js';
import { getSparkToken } from './inject-spark.decorator.js';
import { takeDataSource } from './runtime/one-module.js';
import { SparkLifecycle } from './runtime/spark.lifecycle.js';
import type {
  SparkDynamicOptions,
  SparkModuleAsyncOptions,
  SparkModuleOptions,
  SparkOptionsFactory,
  SparkStaticOptions,
} from './config/spark.options.js';
import { attach } from './runtime/boot.js';
import { createSpark, SPARK, type Spark } from './runtime/create-spark.js';
import { SparkRegistry, SparkRegistryModule } from './spark.registry.js';
import { SparkService } from './spark.service.js';
import { refuseUnknown } from './config/option-parsers.js';
import { checkDataSource, DYNAMIC_OPTIONS, settingsOf, STATIC_OPTIONS } from './config/spark.settings.js';

const SPARK_OPTIONS = Symbol('SPARK_OPTIONS');
const IMPORTS = [DiscoveryModule, SparkRegistryModule];
const FACTORY_OPTIONS = ['imports', 'inject', 'useFactory', 'useClass', 'useExisting'];

/**
 * The Nest module of Spark. Sources derive events from entities, and each event happens once. Import it once for each DataSource.
 *
 * @example
 * @Module({
 *   imports: [
 *     TypeOrmModule.forRoot({ type: 'postgres', url, autoLoadEntities: true }),
 *     ScheduleModule.forRoot(),
 *     SparkModule.forRoot({ sweep: { cron: CronExpression.EVERY_10_MINUTES } }),
 *   ],
 *   providers: [ChallengeEvents, ChallengeMails],
 * })
 * export class AppModule {}
 */
@Module({})
export class SparkModule {
  // Nest initialises the most distant modules first. Spark must come first, to capture what all other modules write from then on.
  constructor(@Inject(ModulesContainer) modules: ModulesContainer) {
    for (const module of modules.values()) if (module.metatype === SparkModule) module.distance = Infinity;
  }

  /**
   * Creates the module for one DataSource.
   *
   * @param options The options. All are optional; {@link SparkModuleOptions} has their defaults.
   * @throws InvalidOptionsError that names the option: at once for an unknown option, at boot for an invalid value.
   *
   * @example
   * SparkModule.forRoot({ sweep: { cron: CronExpression.EVERY_10_MINUTES }, retention: { completed: '30d' } })
   */
  static forRoot(options: SparkModuleOptions = {}): DynamicModule {
    refuseUnknown('forRoot', options, [...STATIC_OPTIONS, ...DYNAMIC_OPTIONS], (name) => name);
    return sparkModule(options, [{ provide: SPARK_OPTIONS, useValue: options }]);
  }

  /**
   * Creates the module for one DataSource, with options from a factory.
   *
   * @param options The factory of the options, as in `forRoot`; `dataSource`, `isGlobal`, `tablePrefix` and `schema` stand beside it.
   * @throws InvalidOptionsError at once without `useFactory`, `useClass` or `useExisting`; at boot for an invalid option, which it names.
   *
   * @example
   * SparkModule.forRootAsync({
   *   inject: [ConfigService],
   *   useFactory: (config: ConfigService) => ({ worker: { concurrency: config.get('CONCURRENCY') } }),
   * })
   */
  static forRootAsync(options: SparkModuleAsyncOptions): DynamicModule {
    refuse(options, DYNAMIC_OPTIONS, 'it in what the factory of forRootAsync returns, not beside it');
    refuseUnknown('forRootAsync', options, [...STATIC_OPTIONS, ...FACTORY_OPTIONS], (name) => name);
    return {
      ...sparkModule(options, optionsProviders(options)),
      imports: [...IMPORTS, ...(options.imports ?? [])],
    };
  }
}

function sparkModule(options: SparkStaticOptions, providers: Provider[]): DynamicModule {
  const { dataSource, isGlobal = true, tablePrefix, schema } = options;
  checkDataSource(dataSource);
  const service = getSparkToken(dataSource);
  return {
    module: SparkModule,
    global: isGlobal,
    imports: IMPORTS,
    providers: [
      ...providers,
      { provide: SPARK_CLOCK, useClass: SystemClock },
      {
        provide: SPARK,
        inject: [getDataSourceToken(dataSource), SPARK_OPTIONS, SPARK_CLOCK, ModulesContainer],
        useFactory: async (
          source: DataSource,
          given: SparkDynamicOptions,
          clock: SparkClock,
          application: ModulesContainer,
        ) => {
          checkClock(clock);
          // The check comes before any change of the DataSource, because two modules that change it would break each other.
          takeDataSource(application, source, dataSource);
          const statics = defined({ dataSource, isGlobal, tablePrefix, schema });
          const spark = createSpark(source, settingsOf({ ...given, ...statics }), clock);
          await attach(spark);
          return spark;
        },
      },
      {
        provide: DecoratedMethods,
        inject: [DiscoveryService],
        useFactory: (discovery: DiscoveryService) => new DecoratedMethods(discovery),
      },
      {
        provide: SparkLifecycle,
        inject: [SPARK, DecoratedMethods, ModuleRef, { token: SPARK_REST, optional: true }],
        useFactory: (spark: Spark, methods: DecoratedMethods, ref: ModuleRef, rest?: Rest) =>
          new SparkLifecycle(spark, methods, ref, rest),
      },
      {
        provide: service,
        inject: [SPARK, SparkLifecycle, SparkRegistry],
        useFactory: (spark: Spark, lifecycle: SparkLifecycle, registry: SparkRegistry) =>
          registry.add(spark.dataSourceName, new SparkService(spark, lifecycle)),
      },
    ],
    exports: [service],
  };
}

function optionsProviders({ useFactory, useClass, useExisting, inject = [] }: SparkModuleAsyncOptions): Provider[] {
  if (useFactory)
    return [{ provide: SPARK_OPTIONS, useFactory: async (...args) => dynamic(await useFactory(...args)), inject }];
  const create = async (factory: SparkOptionsFactory) => dynamic(await factory.createSparkOptions());
  if (useClass) return [useClass, { provide: SPARK_OPTIONS, useFactory: create, inject: [useClass] }];
  if (useExisting) return [{ provide: SPARK_OPTIONS, useFactory: create, inject: [useExisting] }];
  throw new InvalidOptionsError('forRootAsync', { useFactory }, 'one of useFactory, useClass, useExisting');
}

function dynamic(options: SparkDynamicOptions): SparkDynamicOptions {
  refuse(options, STATIC_OPTIONS, 'it beside the factory of forRootAsync, not in what that returns');
  refuseUnknown('the factory of forRootAsync', options, DYNAMIC_OPTIONS, (name) => name);
  return options;
}

/** Refuses options that stand in the wrong place. */
function refuse(options: object | undefined, names: readonly string[], expected: string): void {
  const misplaced = Object.entries(options ?? {}).find(([name]) => names.includes(name));
  if (misplaced) throw new InvalidOptionsError(misplaced[0], misplaced[1], expected);
}

function defined<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}
