import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { type INestApplication, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Queue } from 'bullmq';
import { GroupHandler, SparkModule, SparkService, sparkEvent } from 'nestjs-spark';
import { BullMQCarrier } from 'nestjs-spark-bullmq';
import request from 'supertest';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { until } from './support/carriers.js';
import { databases, type TestDatabase } from './support/databases.js';
import { RedisServer } from './support/redis.js';
import { Row } from './support/row.entity.js';
import { RowSource, rowSource } from './support/row-source.js';

@Injectable()
class Mails {
  @GroupHandler(/^mail/, { name: 'mails' }) mail() {}
}

describe.skipIf(!inject('redisServer'))('bull-board', () => {
  let db: TestDatabase;
  let redis: RedisServer;
  let app: INestApplication;
  const queues: Queue[] = [];

  beforeAll(async () => {
    db = await databases[0]!.create();
    redis = await RedisServer.start();
    rowSource.run = async () => [];
    const carrier = new BullMQCarrier({ connection: redis.url, roles: ['dispatch'] });

    @Module({
      imports: [
        TypeOrmModule.forRoot({ ...db.options, entities: [Row], synchronize: true }),
        SparkModule.forRoot({ worker: { carrier } }),
      ],
      providers: [Mails, RowSource],
    })
    class AppModule {}

    app = await NestFactory.create(AppModule, { logger: false });
    const board = new ExpressAdapter();
    board.setBasePath('/queues');
    for (const name of ['spark', 'spark-sweeps']) queues.push(new Queue(name, { connection: { url: redis.url } }));
    createBullBoard({
      queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
      serverAdapter: board,
    });
    app.use('/queues', board.getRouter());
    await app.init();
  });
  afterAll(async () => {
    await Promise.all(queues.map((queue) => queue.close()));
    await app.close();
    await redis.stop();
    await db.drop();
  });

  const get = (path: string) => request(app.getHttpServer()).get(`/queues/${path}`).expect(200);
  const shown = async (name: string, status: string) => {
    const { body } = await get(`api/queues?activeQueue=${name}&status=${status}&page=1&jobsPerPage=10`);
    return body.queues.find((queue: { name: string }) => queue.name === name);
  };

  it('shows deliveries that wait: jobs with the name of their handler, and ids', async () => {
    await app.get(SparkService).emit([sparkEvent('mail', 1), sparkEvent('mail', 2)]);
    await until(async () => (await shown('spark', 'prioritized')).jobs.length > 0);
    const queue = await shown('spark', 'prioritized');
    const ids = queue.jobs.flatMap(({ data }: any) => data.ids);
    expect(queue).toMatchObject({ readOnlyMode: true, jobs: [{ name: 'mails', data: { handler: 'mails' } }] });
    expect(ids).toHaveLength(2);
  });

  it('shows ranges that wait: jobs with the name of their source', async () => {
    const dataSource = app.get(DataSource);
    for (let first = 1; first <= 10_000; first += 1_000) {
      const rows = Array.from({ length: 1_000 }, (_, i) => `(${first + i}, 'new')`);
      await dataSource.query(`INSERT INTO ${dataSource.driver.escape('row')} VALUES ${rows.join(', ')}`);
    }
    await app.get(SparkService).sweep();
    const queue = await shown('spark-sweeps', 'waiting');
    expect(queue).toMatchObject({ readOnlyMode: true, jobs: [{ name: 'rows', data: { source: 'rows' } }] });
  });

  it('serves its page', async () => {
    const { text } = await get('');
    expect(text).toContain('<title>Bull Dashboard</title>');
  });

  it('changes nothing where it is read-only', async () => {
    await request(app.getHttpServer()).put('/queues/api/queues/spark/pause').expect(405);
    expect(await queues[0]!.isPaused()).toBe(false);
  });
});
