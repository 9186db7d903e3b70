import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { InjectDataSource } from '@nestjs/typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

const LEASE = 1_500;
const calls: string[] = [];

@Injectable()
class Holding {
  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  @GroupHandler(/./, { name: 'holding' })
  async handle({ key }: SparkEvent) {
    calls.push(key);
    await this.dataSource.transaction(async (manager) => {
      await manager.query('SELECT 1');
      await delay(2.5 * LEASE);
    });
  }
}

describe.each(databases)('handlers may hold the pool, on $name', (database) => {
  let db: TestDatabase;
  const apps: TestApp[] = [];

  beforeEach(async () => {
    calls.length = 0;
    db = await database.create();
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (concurrency: number | undefined, poolSize: number, spark = {}) => {
    const app = await startApp({
      database: { ...db, options: { ...db.options, poolSize } as DataSourceOptions },
      entities: [],
      providers: [Holding],
      spark: { worker: { concurrency, leaseTtl: LEASE, pollInterval: '50ms' }, ...spark },
    });
    apps.push(app);
    return app;
  };
  const warnings = ({ logs }: TestApp) => logs.filter((line) => line.includes('worker.concurrency is'));

  it.skipIf(database.name === 'SQLite')('for longer than the lease: each event is handled once', async () => {
    const first = await start(3, 3);
    await first.spark.emit([1, 2, 3].map((id) => sparkEvent('thing', id)));
    for (let i = 0; i < 500 && calls.length < 3; i++) await delay(10);
    // Another process is there to take over what a process lost.
    const second = await start(3, 10);
    const states = async () => {
      const rows = await second.dataSource.query('SELECT state, attempt FROM spark_delivery');
      return rows.map(({ state, attempt }: { state: string; attempt: number }) => `${state} ${attempt}`);
    };
    const done = ['completed 1', 'completed 1', 'completed 1'];
    for (let i = 0; i < 1_000 && (await states()).join() !== done.join(); i++) await delay(20);
    expect(await states()).toEqual(done);
    expect(calls.toSorted()).toEqual(['thing_1', 'thing_2', 'thing_3']);
    expect(first.logs.join('\n')).not.toContain('too slow to renew');
  });

  it('and it is logged at boot that they may', async () => {
    const isEndless = database.name === 'SQLite';
    expect(warnings(await start(3, 3))).toHaveLength(isEndless ? 0 : 1);
    expect(warnings(await start(3, 4))).toEqual([]);
    expect(warnings(await start(3, 3, { worker: false }))).toEqual([]);
  });

  it.skipIf(database.name === 'SQLite')('unless nobody says how many may run: two connections stay free', async () => {
    const app = await start(undefined, 4);
    await app.spark.emit([1, 2, 3, 4].map((id) => sparkEvent('thing', id)));
    await vi.waitFor(() => expect(calls).toHaveLength(2));
    await app.spark.emit(sparkEvent('other', 1));
    expect(calls).toHaveLength(2);
    expect(warnings(app)).toEqual([]);
  });
});
