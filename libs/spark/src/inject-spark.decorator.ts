import { Inject, type InjectionToken } from '@nestjs/common';
import { SparkService } from './spark.service.js';

/**
 * The injection token of a SparkService: its class for the unnamed DataSource, and a separate token for each named one.
 *
 * @param dataSource The name of its DataSource. Default: the unnamed one, whose name is `default`.
 *
 * @example
 * const spark = app.get<SparkService>(getSparkToken('archive'));
 */
export function getSparkToken(dataSource = 'default'): InjectionToken {
  return dataSource === 'default' ? SparkService : `SparkService(${dataSource})`;
}

/**
 * Injects the SparkService of a DataSource.
 *
 * @param dataSource The name of the DataSource. Default: the unnamed one.
 *
 * @example
 * constructor(@InjectSpark('archive') private readonly spark: SparkService) {}
 */
export const InjectSpark = (dataSource?: string): ParameterDecorator & PropertyDecorator =>
  Inject(getSparkToken(dataSource));
