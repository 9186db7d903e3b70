import { type DynamicModule, type INestApplicationContext, Module, type Provider, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SparkModule, type SparkModuleOptions, SparkService } from 'nestjs-spark';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { type DatabaseName, ownDatabase } from './database.js';

export interface Application {
  readonly app: INestApplicationContext;
  readonly dataSource: DataSource;
  readonly spark: SparkService;
  close(): Promise<void>;
}

/** An application with Spark, by default on a database of its own, which `close` drops. */
export async function application(
  db: DatabaseName,
  entities: Type[],
  providers: Type[],
  options: SparkModuleOptions = {},
  more: Provider[] = [],
  given?: DataSourceOptions,
  imports: DynamicModule[] = [],
): Promise<Application> {
  const database = given ? { options: given, drop: async () => {} } : await ownDatabase(db);
  const spark = SparkModule.forRoot(options);
  @Module({
    imports: [
      TypeOrmModule.forRoot({ ...database.options, entities, synchronize: true }),
      { ...spark, providers: [...spark.providers!, ...more] },
      ...imports,
    ],
    providers,
  })
  class App {}
  const app = await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
  const close = async () => {
    await app.close();
    await database.drop();
  };
  return { app, dataSource: app.get(DataSource), spark: app.get(SparkService), close };
}

/** A DataSource without Spark, on a database of its own, which `close` drops. */
export async function bare(db: DatabaseName, entities: Type[]) {
  const database = await ownDatabase(db);
  const options = { ...database.options, entities, synchronize: true } as DataSourceOptions;
  const dataSource = await new DataSource(options).initialize();
  if (db === 'sqlite') await dataSource.query('PRAGMA journal_mode = WAL');
  const close = async () => {
    await dataSource.destroy();
    await database.drop();
  };
  return { dataSource, url: 'url' in options ? (options.url as string) : '', close };
}

/** SQL that gives the numbers up to one, in the column n. */
export function numbers(db: DatabaseName, last: number, first = 1): string {
  if (db === 'postgres') return `SELECT n FROM generate_series(${first}, ${last}) AS s(n)`;
  if (db === 'mariadb') return `SELECT seq AS n FROM seq_${first}_to_${last}`;
  return `WITH RECURSIVE s(n) AS (SELECT ${first} UNION ALL SELECT n + 1 FROM s WHERE n < ${last}) SELECT n FROM s`;
}
