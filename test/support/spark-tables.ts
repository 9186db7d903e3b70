import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SparkModule } from 'nestjs-spark';
import type { DataSourceOptions } from 'typeorm';

/** The table with the version of the others. Its row stays when they are emptied. */
export const VERSION = 'spark_version';

/** Tells the tables of Spark that may have rows. */
export const isSparks = (table: string): boolean => table.startsWith('spark_') && table !== VERSION;

class MakingModule {}

/** Lets a boot make Spark's tables, as it does with `synchronize`. It leaves no other row than that of their version. */
export async function makeSparkTables(options: DataSourceOptions): Promise<void> {
  const imports = [
    TypeOrmModule.forRoot({ ...options, synchronize: true, retryAttempts: 0 }),
    SparkModule.forRoot({ autoStart: false }),
  ];
  const settings = { logger: false, abortOnError: false } as const;
  const app = await NestFactory.createApplicationContext({ module: MakingModule, imports }, settings);
  await app.close();
}
