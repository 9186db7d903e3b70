import { type DynamicModule, Module } from '@nestjs/common';
import { SparkRegistry } from '../index.js';
import { MessageMetrics } from './message-metrics.js';
import { ProcessMetrics } from './process-metrics.js';
import { checkTelemetryOptions, type SparkTelemetryOptions } from './spark-telemetry.options.js';
import { Spans } from './spans.js';
import { SparkTelemetry } from './spark-telemetry.js';

/**
 * Makes spans and metrics of OpenTelemetry for all SparkModules of the application. Import it once. It needs the package `@opentelemetry/api`, and an
 * SDK that was registered before the application is created: without one, it does nothing.
 *
 * @example
 * @Module({ imports: [TypeOrmModule.forRoot(database), SparkModule.forRoot(), SparkTelemetryModule.forRoot()] })
 * export class AppModule {}
 */
@Module({})
export class SparkTelemetryModule {
  /**
   * Creates the module.
   *
   * @param options The options. All are optional; {@link SparkTelemetryOptions} has their defaults.
   * @throws InvalidOptionsError at once for an unknown option or an invalid value.
   *
   * @example
   * SparkTelemetryModule.forRoot({ parent: true })
   */
  static forRoot(options: SparkTelemetryOptions = {}): DynamicModule {
    checkTelemetryOptions(options);
    const { parent = false } = options;
    return {
      module: SparkTelemetryModule,
      providers: [
        { provide: SparkTelemetry, useFactory: () => new SparkTelemetry(new Spans(parent), new MessageMetrics()) },
        {
          provide: ProcessMetrics,
          inject: [SparkRegistry],
          useFactory: (registry: SparkRegistry) => new ProcessMetrics(registry),
        },
      ],
    };
  }
}
