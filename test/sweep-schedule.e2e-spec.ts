import { Injectable } from '@nestjs/common';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { EventSource, sparkEvent, type SweepSchedule } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() state: string;
}

@Injectable()
class Events {
  running = 0;
  most = 0;

  @EventSource(Item) async items({ id, state }: Item) {
    this.most = Math.max(this.most, ++this.running);
    if (state === 'slow') await delay(50);
    this.running--;
    return [sparkEvent('item', id)];
  }
}

describe.each(databases)('the sweep keeps its schedule, on $name', (database) => {
  let db: TestDatabase;

  beforeAll(async () => {
    db = await database.create();
  });
  afterAll(() => db.drop());

  const start = (sweep: SweepSchedule) =>
    startApp({
      database: db,
      entities: [Item],
      providers: [Events],
      imports: [ScheduleModule.forRoot()],
      spark: { sweep, live: false },
    });
  /** Waits until a new row has become an event, and returns how long that took. */
  const found = async ({ dataSource, spark }: TestApp, state = 'new') => {
    const started = Date.now();
    const keys: string[] = [];
    const subscription = spark.events$.subscribe(({ key }) => keys.push(key));
    const { id } = await dataSource.manager.save(Item, { state });
    while (!keys.includes(`item_${id}`) && Date.now() - started < 5_000) await delay(10);
    subscription.unsubscribe();
    expect(keys).toContain(`item_${id}`);
    return Date.now() - started;
  };

  it('of an interval, again and again, and ends with the application', async () => {
    const app = await start({ interval: '100ms' });
    expect(await found(app)).toBeLessThan(1_000);
    expect(await found(app)).toBeLessThan(1_000);
    expect(app.app.get(SchedulerRegistry).getIntervals()).toEqual(['spark-sweep']);
    const count = () => app.logs.filter((line) => line.startsWith('log Sweep:')).length;
    await app.close();
    const before = count();
    await delay(250);
    expect(count()).toBe(before);
  });

  it('of a cron expression', async () => {
    const app = await start({ cron: '* * * * * *', timeZone: 'Asia/Tokyo' });
    expect(await found(app)).toBeLessThan(2_500);
    await app.close();
    expect(app.app.get(SchedulerRegistry).getCronJobs().size).toBe(0);
  });

  it('one at a time, though one takes longer than the interval', async () => {
    const app = await start({ interval: 20 });
    await found(app, 'slow');
    await delay(300);
    expect(app.app.get(Events).most).toBe(1);
    await app.close();
  });
});

describe('a schedule in a time zone', () => {
  it('is kept by the clock of that zone', async () => {
    const db = await databases[0]!.create();
    const app = await startApp({
      database: db,
      entities: [Item],
      imports: [ScheduleModule.forRoot()],
      spark: { sweep: { cron: '0 3 * * *', timeZone: 'Asia/Tokyo' } },
    });
    const next = app.app.get(SchedulerRegistry).getCronJob('spark-sweep').nextDate();
    expect([next.toUTC().hour, next.toUTC().minute]).toEqual([18, 0]);
    await app.close();
    await db.drop();
  });
});
