import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, InvalidOptionsError, sparkEvent, type SparkModuleOptions } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { ScheduleModule } from '@nestjs/schedule';
import { Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Task {
  @PrimaryColumn() id: number;
}

describe.each(databases)('Spark can be paused, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  const handled: string[] = [];
  let hold: Promise<unknown> | undefined;

  @Injectable()
  class Tasks {
    @EventSource(Task) *now({ id }: Task) {
      yield sparkEvent('now', id);
    }
    // Deferred: its events are entered by a recheck, not with the save.
    @EventSource(Task) async later({ id }: Task) {
      return [sparkEvent('later', id)];
    }
    @GroupHandler(/./, { name: 'tasks' }) async handle({ key }: { key: string }) {
      await hold;
      handled.push(key);
    }
  }

  beforeEach(async () => {
    db = await database.create();
    handled.length = 0;
    hold = undefined;
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (spark: SparkModuleOptions = {}) => {
    app = await startApp({
      database: db,
      entities: [Task],
      providers: [Tasks],
      imports: [ScheduleModule.forRoot()],
      spark: { worker: { pollInterval: '20ms' }, ...spark },
    });
  };
  const save = (id: number) => app.dataSource.manager.save(Task, { id });
  const until = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 10 });
  const REST = 300;

  it('with autoStart: false it records, does what it is called for, and nothing by itself until it is started', async () => {
    await start({ autoStart: false, sweep: { interval: '50ms' } });
    await save(1);
    await app.dataSource.query('INSERT INTO task (id) VALUES (2)');
    await delay(REST);
    expect(handled).toEqual([]);
    expect((await app.spark.events()).records.map(({ key }) => key)).toEqual(['now_1']);
    await app.spark.drain();
    expect(handled.toSorted()).toEqual(['later_1', 'now_1']);
    await app.spark.start();
    await app.spark.start();
    await until(() => expect(handled.toSorted()).toEqual(['later_1', 'later_2', 'now_1', 'now_2']));
  });

  it('a pause waits for what is running; what comes meanwhile is recorded, and handled after it', async () => {
    await start();
    let end = (): void => {};
    hold = new Promise<void>((resolve) => (end = resolve));
    await save(1);
    await vi.waitFor(async () => expect((await app.spark.status()).running.length).toBeGreaterThan(0), 10_000);
    let isPaused = false;
    const pause = app.spark.pause().then(() => (isPaused = true));
    const again = app.spark.pause();
    await delay(100);
    expect(isPaused).toBe(false);
    end();
    await Promise.all([pause, again]);
    const before = handled.length;
    expect(before).toBeGreaterThan(0);

    await save(2);
    await app.spark.emit(sparkEvent('emitted', 1));
    await delay(REST);
    expect(handled).toHaveLength(before);
    await app.spark.start();
    await until(() => expect(handled.toSorted()).toEqual(['emitted_1', 'later_1', 'later_2', 'now_1', 'now_2']));
  });

  it('a pause ends the schedule of sweeps, and a start begins it again; sweeps by hand go on', async () => {
    await start({ sweep: { interval: '50ms' } });
    await app.spark.pause();
    await app.dataSource.query('INSERT INTO task (id) VALUES (1)');
    await delay(REST);
    expect((await app.spark.events()).records).toEqual([]);
    expect(await app.spark.sweep()).toMatchObject({ subjects: 2, entered: 2 });
    await app.dataSource.query('INSERT INTO task (id) VALUES (2)');
    await app.spark.start();
    await until(() => expect(handled.toSorted()).toEqual(['later_1', 'later_2', 'now_1', 'now_2']));
  });

  it('start and pause in any order end as the last of them says', async () => {
    await start();
    await Promise.all([app.spark.pause(), app.spark.start(), app.spark.pause(), app.spark.start()]);
    await save(1);
    await until(() => expect(handled).toContain('now_1'));
    await app.spark.pause();
    await app.spark.pause();
    await app.spark.start();
    await Promise.all([app.spark.pause(), app.spark.start(), app.spark.pause()]);
    const before = handled.length;
    await save(2);
    await delay(REST);
    expect(handled).toHaveLength(before);
  });

  it('an option that is no boolean is refused', async () => {
    await start();
    const wrong = { database: db, entities: [Task], spark: { autoStart: 1 as never } };
    await expect(startApp(wrong)).rejects.toThrow(InvalidOptionsError);
  });
});
