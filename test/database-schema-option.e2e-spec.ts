import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent, sparkMigrations } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, DataSource, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { refusal } from './support/refusal.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column({ type: 'varchar', length: 20 }) shipped: string;
}

let broken = false;

@Injectable()
class Shop {
  readonly handled: string[] = [];

  @EventSource(Order, { name: 'orders' }) *orders({ id, shipped }: Order) {
    yield sparkEvent('placed', id, { id });
    yield sparkEvent('shipped', id, undefined, { at: new Date(Number(shipped)) });
  }

  @GroupHandler(/./, { name: 'mails', maxAttempts: 1 }) mail({ key }: SparkEvent) {
    if (broken) throw new Error('out of paper');
    this.handled.push(key);
  }
}

const servers = databases.filter(({ name }) => name !== 'SQLite');

describe.each(servers)('the option schema keeps the tables in a place of their own, on $name', (database) => {
  let db: TestDatabase;
  let elsewhere: TestDatabase | undefined;
  let schema: string;
  let direct: DataSource;
  const running: TestApp[] = [];
  const clock = new TestClock();

  beforeEach(async () => {
    broken = false;
    db = await database.createEmpty();
    direct = await new DataSource(db.options).initialize();
    if (database.name === 'PostgreSQL') {
      schema = 'elsewhere';
      await direct.query(`CREATE SCHEMA ${schema}`);
    } else {
      elsewhere = await database.createEmpty();
      schema = new URL((elsewhere.options as { url: string }).url).pathname.slice(1);
    }
  });
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    await direct.destroy();
    await elsewhere?.drop();
    await db.drop();
  });

  const start = async (options: Partial<TestAppOptions> = {}) => {
    const app = await startApp({
      database: db,
      entities: [Order],
      providers: [Shop],
      clock,
      spark: { schema },
      ...options,
    });
    running.push(app);
    return app;
  };
  /** Where there are tables of Spark, and how many. */
  const places = async () => {
    const rows: { place: string; n: unknown }[] = await direct.query(
      `SELECT table_schema AS place, COUNT(*) AS n FROM information_schema.tables
       WHERE table_name LIKE 'spark_%' AND table_schema IN ('public', '${schema}', '${direct.driver.database}') GROUP BY table_schema`,
    );
    return Object.fromEntries(rows.map(({ place, n }) => [place, Number(n)]));
  };
  const save = ({ dataSource }: TestApp, id: number, shipped = clock.now() + 3_600_000) =>
    dataSource.manager.save(Order, { id, shipped: String(shipped) });

  it('synchronize makes them there, and there alone', async () => {
    await start();
    expect(await places()).toEqual({ [schema]: 17 });
  });

  it('migrations make them there, once, and take them back', async () => {
    const migrations = sparkMigrations({ schema });
    await start({ dataSource: { synchronize: false, migrations, migrationsRun: true } });
    await start({ dataSource: { synchronize: false, migrations, migrationsRun: true } });
    expect(await places()).toEqual({ [schema]: 17 });
    for (const app of running.splice(0)) await app.close();

    const migrating = await new DataSource({ ...db.options, migrations }).initialize();
    for (const _ of migrations) await migrating.undoLastMigration();
    await migrating.destroy();
    expect(await places()).toEqual({});
  });

  it('where they are missing, the migrations that are to be added are named with it', async () => {
    await expect(start({ dataSource: { synchronize: false } })).rejects.toThrow(
      `...sparkMigrations({ schema: '${schema}' })`,
    );
  });

  it('live capture, rechecks, the sweep, emit and deliveries work there', async () => {
    const app = await start();
    const { manager } = app.dataSource;
    const { handled } = app.app.get(Shop);
    const kit = new SparkTestKit(app.app);

    await save(app, 1);
    await manager
      .transaction(async (within) => {
        await within.save(Order, { id: 2, shipped: '0' });
        throw new Error('on purpose');
      })
      .catch(() => undefined);
    await app.spark.emit(sparkEvent('emitted', 1));
    await manager.transaction((within) => app.spark.emit(sparkEvent('emitted', 2), { manager: within }));
    await kit.drain();
    expect(handled.toSorted()).toEqual(['emitted_1', 'emitted_2', 'placed_1']);

    await kit.advance('2h');
    expect(handled).toContain('shipped_1');

    await manager.query(`INSERT INTO ${app.dataSource.driver.escape('order')} VALUES (3, '${clock.now()}')`);
    expect(await app.spark.sweep()).toMatchObject({ subjects: 2, entered: 2, failed: 0 });
    await kit.drain();
    expect(handled.toSorted()).toEqual(['emitted_1', 'emitted_2', 'placed_1', 'placed_3', 'shipped_1', 'shipped_3']);
    expect(await direct.query(`SELECT DISTINCT state FROM ${schema}.spark_delivery`)).toEqual([{ state: 'completed' }]);
    expect(await direct.query(`SELECT id FROM ${schema}.spark_recheck`)).toEqual([]);
  });

  it('the status, the lists, explain and repairs read and change what is there', async () => {
    broken = true;
    const app = await start();
    const { spark } = app;
    await save(app, 1);
    expect((await spark.rechecks()).records).toMatchObject([{ entity: 'Order', entityId: '1' }]);
    await spark.drain();
    await spark.sweep();

    const status = await spark.status();
    expect(status.sources).toMatchObject([{ source: 'orders', finished: expect.any(Date) }]);
    expect(status.handlers).toMatchObject([{ handler: 'mails', discarded: 1 }]);
    expect(status.workers).toHaveLength(1);
    expect((await spark.events()).records).toMatchObject([{ key: 'placed_1', source: 'orders' }]);
    expect((await spark.deliveries({ state: 'discarded' })).records).toMatchObject([{ event: { key: 'placed_1' } }]);
    expect(JSON.stringify(await spark.explain(Order, 1))).toContain('placed_1');

    broken = false;
    expect(await spark.retry()).toBe(1);
    await spark.drain();
    expect(app.app.get(Shop).handled).toEqual(['placed_1']);
    expect(await spark.replay({ handler: 'mails', repeat: true })).toBe(1);
    await spark.drain();
    expect(app.app.get(Shop).handled).toEqual(['placed_1', 'placed_1']);
    await spark.forget(Order, 1);
    expect((await spark.events()).records).toEqual([]);
    expect((await spark.rechecks()).records).toEqual([]);
  });

  it('processes notify one another there, and leave those alone whose tables are elsewhere', async () => {
    // PostgreSQL notifies them; elsewhere they poll.
    const worker = { pollInterval: database.name === 'PostgreSQL' ? '1h' : '200ms' };
    const options = { clock: undefined, spark: { schema, worker } };
    const [recorder, other] = [await start({ ...options, providers: [] }), await start(options)];
    const own = await start({ ...options, spark: { worker } });
    const handledBy = ({ app }: TestApp) => app.get(Shop).handled;
    await recorder.spark.emit(sparkEvent('there', 1));
    await vi.waitFor(() => expect(handledBy(other)).toEqual(['there_1']), { timeout: 10_000 });
    await own.spark.emit(sparkEvent('here', 1));
    await vi.waitFor(() => expect(handledBy(own)).toEqual(['here_1']), { timeout: 10_000 });
    expect(handledBy(other)).toEqual(['there_1']);
    expect(await recorder.spark.workers()).toHaveLength(1);
    expect(await own.spark.workers()).toHaveLength(1);
    expect((await own.spark.events()).records.map(({ key }) => key)).toEqual(['here_1']);
  });
});

describe("the option schema, on 'SQLite'", () => {
  it('is refused: it has no schemas', async () => {
    const error = await refusal({ entities: [Order], spark: { schema: 'elsewhere' } });
    expect(error).toMatchObject({ name: 'InvalidOptionsError' });
    expect(error.message).toBe(
      `Spark's option schema is 'elsewhere'. Expected: left out on SQLite, which has no schemas.`,
    );
  });
});
