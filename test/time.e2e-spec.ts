import { Injectable } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import {
  eachDay,
  eachWeek,
  EventSource,
  GroupHandler,
  type Planned,
  sparkEvent,
  type SparkEvent,
  type SourceScope,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, DataSource, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { DAY, HOUR } from './support/set-clock.js';

@Entity()
class Task {
  @PrimaryColumn() id: number;
  /** Epoch ms. */
  @Column({ type: 'varchar', length: 20, nullable: true }) due: string | null;
}

const MINUTE = 60_000;

@Injectable()
class Weekly {
  @EventSource(Task, { name: 'weekly' })
  *weekly({ id }: Task, { now }: SourceScope) {
    yield sparkEvent('weekly', id, undefined, { occurrence: eachWeek(now) });
  }
}

@Injectable()
class Due {
  @EventSource(Task, { name: 'due' })
  *due({ id, due }: Task) {
    if (due !== null) yield sparkEvent('due', id, undefined, { at: new Date(Number(due)), occurrence: due });
  }
}

@Injectable()
class MovesItself {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/^due$/, { name: 'moves' })
  async move({ at }: SparkEvent) {
    await this.dataSource.manager.save(Task, { id: 1, due: String(at!.getTime() + 5 * MINUTE) });
  }
}

@Injectable()
class Large {
  @EventSource(Task, { name: 'large' })
  *large({ id }: Task) {
    for (let i = 0; i < 40; i++) yield sparkEvent('large', [id, i], { text: 'x'.repeat(800_000) });
  }
}

let failures = 0;
let failedAt = 0;
let retriedAt = 0;

@Injectable()
class FailsOnce {
  @GroupHandler(/^due$/, { name: 'fails once', backoff: { base: 100, max: 100 } })
  handle() {
    if (failures++ === 0) {
      failedAt = performance.now();
      throw new Error('once');
    }
    retriedAt = performance.now();
  }
}

describe.each(databases)('time is right, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (options: Partial<TestAppOptions>) =>
    (app = await startApp({
      database: db,
      entities: [Task],
      ...options,
      imports: [ScheduleModule.forRoot()],
    }));
  const planned = async (at: Date) => {
    const all: Planned[] = [];
    for await (const one of app.spark.plan({ at })) all.push(one);
    return all;
  };
  const keys = async (): Promise<string[]> => {
    const rows: { event_key: string }[] = await app.dataSource.query('SELECT event_key FROM spark_event ORDER BY id');
    return rows.map((row) => row.event_key);
  };
  const rechecks = async () => Number((await app.dataSource.query('SELECT COUNT(*) AS n FROM spark_recheck'))[0].n);

  it.each([{ interval: '1d' }, { cron: '0 3 * * *', timeZone: 'UTC' }])(
    'a plan of five weeks has what daily sweeps find in them, by %j',
    async (sweep) => {
      const clock = new TestClock('2026-06-01T12:00:00Z');
      await start({ providers: [Weekly], clock, spark: { sweep } });
      await app.dataSource.manager.save(Task, { id: 1, due: null });
      const weeks = (await planned(new Date(clock.now() + 35 * DAY))).map((one) =>
        'key' in one ? one.key : one.outcome,
      );
      const kit = new SparkTestKit(app.app);
      for (let day = 0; day < 35; day++) {
        await kit.advance('1d');
        await app.spark.sweep();
      }
      const [first, ...others] = await keys();
      expect(first).toBe('weekly_1@2026-W23');
      expect(weeks).toEqual(others);
      expect(others).toHaveLength(5);
    },
  );

  it('without a schedule a plan says that it depends on when it is asked', async () => {
    const clock = new TestClock('2026-06-01T12:00:00Z');
    await start({ providers: [Weekly], clock });
    await app.dataSource.manager.save(Task, { id: 1, due: null });
    const all = await planned(new Date(clock.now() + 35 * DAY));
    expect(all).toMatchObject([{ outcome: 'unreliable', source: 'weekly' }, { outcome: 'enter' }]);
    expect(JSON.stringify(all)).toContain('depend on when it runs');
  });

  it('sweeps and ticks add no second recheck for an instant that is less than an hour ahead', async () => {
    const clock = new TestClock();
    await start({ providers: [Due], clock });
    const rows = Array.from({ length: 50 }, (_, i) => `(${i + 1}, '${clock.now() + 30 * MINUTE}')`);
    await app.dataSource.query(`INSERT INTO task (id, due) VALUES ${rows.join()}`);
    await app.spark.sweep();
    expect(await rechecks()).toBe(50);
    for (let i = 0; i < 3; i++) await app.spark.sweep();
    expect(await rechecks()).toBe(50);
    await new SparkTestKit(app.app).advance('1h');
    expect(await keys()).toHaveLength(50);
    expect(await rechecks()).toBe(0);
  });

  it('a task that moves its own date catches up after an outage, however often it was due', async () => {
    const clock = new TestClock();
    await start({ providers: [Due, MovesItself], clock });
    const kit = new SparkTestKit(app.app);
    await app.dataSource.manager.save(Task, { id: 1, due: String(clock.now() + 5 * MINUTE) });
    clock.set(clock.now() + 2 * HOUR);
    await kit.drain();
    await kit.advance('4m');
    expect(await keys()).toHaveLength(24);
    await kit.advance('2m');
    expect(await keys()).toHaveLength(25);
  });

  it('the contexts of one entity are limited together, and what is too much is refused by name', async () => {
    await start({ providers: [Large] });
    await app.dataSource.manager.save(Task, { id: 1, due: null }, { chunk: 1 });
    await app.spark.drain();
    expect(await keys()).toHaveLength(20);
    expect((await app.spark.status()).counts.refusedEvents).toBe(20);
    expect(app.logs.join('\n')).toMatch(/large.*Task.*more than 16 million characters together/s);
  });

  it('what is due before the next poll happens in time, a retry too', async () => {
    failures = failedAt = retriedAt = 0;
    await start({ providers: [Due, FailsOnce], spark: { worker: { pollInterval: '1h' } } });
    await app.dataSource.manager.save(Task, { id: 1, due: String(Date.now() + 1_500) });
    await vi.waitFor(() => expect(retriedAt).toBeGreaterThan(failedAt), { timeout: 25_000 });
    expect(failures).toBe(2);
  });

  it.each([{ interval: '7d' }, { cron: '0 3 * * 1' }])(
    'a sweep that has been due since the last deploy runs after the boot, and none runs at the first one: %j',
    async (sweep) => {
      const swept = async () => {
        const rows: { finished_at: string | null }[] = await app.dataSource.query(
          'SELECT finished_at FROM spark_sweep',
        );
        return rows.map((row) => row.finished_at !== null);
      };
      const spark = { sweep };
      await start({ providers: [Due], spark });
      await vi.waitFor(async () => expect(await swept()).toEqual([false]), { timeout: 20_000 });
      await app.close();
      const direct = await new DataSource(db.options).initialize();
      await direct.query(`UPDATE spark_sweep SET slot = slot - ${7 * DAY}`);
      await direct.destroy();
      await start({ providers: [Due], spark });
      await vi.waitFor(async () => expect(await swept()).toEqual([true]), { timeout: 20_000 });
    },
  );
});

const Format = Intl.DateTimeFormat;

it('all days of a zone share one formatter, and those of any year are formatted', () => {
  let formatters = 0;
  vi.stubGlobal('Intl', {
    DateTimeFormat: function counted(...given: ConstructorParameters<typeof Intl.DateTimeFormat>) {
      formatters++;
      return new Format(...given);
    },
  });
  for (let i = 0; i < 1_000; i++) eachDay(new Date(i * DAY), 'Pacific/Chatham');
  vi.unstubAllGlobals();
  expect(formatters).toBe(1);
  expect(eachDay(new Date(0), 'Europe/Berlin')).toBe('1970-01-01');
  expect(eachDay(new Date('0999-03-01T12:00:00Z'))).toMatch(/^0999-0[23]-/);
  expect(eachDay(new Date('+010000-01-01T12:00:00Z'))).toBe('+010000-01-01');
  expect(eachWeek(new Date('+012345-06-01T12:00:00Z'))).toMatch(/^\+012345-W\d\d$/);
  expect(eachWeek(new Date('0099-06-01T12:00:00Z'))).toMatch(/^0099-W\d\d$/);
  expect(eachDay(new Date('-000044-03-15T12:00:00Z'))).toMatch(/^-000044-03-/);
});
