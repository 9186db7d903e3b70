import { Global, Module } from '@nestjs/common';
import { UnknownDataSourceError } from './error/unknown-data-source.error.js';
import type { SparkService } from './spark.service.js';

/** The SparkService of a DataSource. */
export interface RegisteredSpark {
  /** The DataSource's name: `default` for the unnamed one. */
  readonly dataSource: string;
  readonly service: SparkService;
}

/**
 * The SparkServices of an application, for code that serves all of them, such as a dashboard or a command line. Every module can
 * inject it, even if `isGlobal` is `false`. It is complete before the first `onModuleInit`.
 *
 * @example
 * for (const { dataSource, service } of app.get(SparkRegistry).all()) console.log(dataSource, await service.status());
 */
export class SparkRegistry {
  private readonly services = new Map<string, SparkService>();

  /**
   * Returns all SparkServices, one for each SparkModule: first that of the unnamed DataSource, then the others by name.
   *
   * @example
   * const names = registry.all().map(({ dataSource }) => dataSource);
   */
  all(): RegisteredSpark[] {
    return [...this.services]
      .map(([dataSource, service]) => ({ dataSource, service }))
      .sort((a, b) => (rankOf(a) < rankOf(b) ? -1 : 1));
  }

  /**
   * Returns the SparkService of one DataSource.
   *
   * @param dataSource The name of the DataSource. Default: the unnamed one, whose name is `default`.
   * @throws UnknownDataSourceError when it has no SparkModule.
   *
   * @example
   * await app.get(SparkRegistry).get('archive').sweep();
   */
  get(dataSource = 'default'): SparkService {
    const service = this.services.get(dataSource);
    if (!service) throw new UnknownDataSourceError('SparkRegistry.get', dataSource);
    return service;
  }

  /** @internal Each SparkModule adds its SparkService. */
  add(dataSource: string, service: SparkService): SparkService {
    this.services.set(dataSource, service);
    return service;
  }
}

const rankOf = ({ dataSource }: RegisteredSpark): string => (dataSource === 'default' ? '' : dataSource);

/** The module that all SparkModules of an application share. */
@Global()
@Module({ providers: [SparkRegistry], exports: [SparkRegistry] })
export class SparkRegistryModule {}
