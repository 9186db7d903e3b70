import { Injectable, type INestApplicationContext, Module, type ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { GroupHandler, sparkEvent, type SparkEvent, SparkModule, SparkService, type WorkerOptions } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import type { Peer } from './peer.js';

/** Spark, with what its README advises where handlers are short. */
export async function spark(
  url: string,
  { imports = [], providers = [] }: ModuleMetadata = {},
  options: WorkerOptions = {},
): Promise<Peer> {
  let report: (job: number) => void = () => undefined;
  @Injectable()
  class Handler {
    @GroupHandler(/^noop/, { name: 'noop' })
    async handle({ context }: SparkEvent<{ job: number } | undefined>) {
      report(context?.job ?? 0);
    }
  }
  const start = async (worker: boolean): Promise<INestApplicationContext> => {
    @Module({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 25, synchronize: true }),
        SparkModule.forRoot({ worker: worker ? { concurrency: 1_000, ...options } : false, history: false }),
        ...imports,
      ],
      providers: [Handler, ...providers],
    })
    class App {}
    return NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
  };
  let working: INestApplicationContext | undefined;
  let idle: INestApplicationContext | undefined;
  const sender = async () => working ?? (idle ??= await start(false));
  return {
    async reset() {
      await (await sender()).get(DataSource).query('TRUNCATE spark_event, spark_delivery, spark_recheck');
    },
    async fill(count) {
      const dataSource = (await sender()).get(DataSource);
      await dataSource.query(
        `WITH fresh AS (
           INSERT INTO spark_event (event_key, event_group, depth, recorded_at)
           SELECT 'noop_' || n, 'noop', 0, 0 FROM generate_series(1, $1::int) n RETURNING id)
         INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
         SELECT id, 'noop', 'available', 0, 0, 0, 0 FROM fresh`,
        [count],
      );
      await dataSource.query('VACUUM ANALYZE spark_delivery');
      await dataSource.query('VACUUM ANALYZE spark_event');
    },
    async work(handled) {
      report = handled;
      working = await start(true);
    },
    async add(job) {
      await (await sender()).get(SparkService).emit(sparkEvent('noop', `${process.pid}-${job}`, { job }));
    },
    async close() {
      await working?.close();
      await idle?.close();
    },
  };
}
