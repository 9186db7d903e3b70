import { Injectable, type Provider } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent, type SparkModuleOptions } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Injectable()
class Events {
  @EventSource(Item)
  *items({ id, title }: Item) {
    yield sparkEvent(title, id);
  }

  // Deferred: its events are entered by a recheck, not with the save.
  @EventSource(Item)
  async later({ id, title }: Item) {
    return [sparkEvent(`${title}_later`, id)];
  }
}

class Handler {
  readonly handled: string[] = [];
}

@Injectable()
class Mails extends Handler {
  @GroupHandler(/^order/, { name: 'mails' })
  handle({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

/** The next version of `Mails`: by another class and method, for more groups. */
@Injectable()
class WiderMails extends Handler {
  @GroupHandler(/^(order|refund)/, { name: 'mails' })
  send({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

@Injectable()
class Statistics extends Handler {
  @GroupHandler(/./, { name: 'statistics' })
  count({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

describe.each(databases)('processes open the deliveries of all registered handlers, on $name', (database) => {
  let db: TestDatabase;
  const running: TestApp[] = [];

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    await db.drop();
  });

  /** A process, as far as the database knows. */
  async function start(providers: Provider[], spark?: SparkModuleOptions): Promise<TestApp> {
    const app = await startApp({ database: db, entities: [Item], providers: [Events, ...providers], spark });
    running.push(app);
    return app;
  }

  async function stop(app: TestApp): Promise<void> {
    running.splice(running.indexOf(app), 1);
    await app.close();
  }

  const save = ({ dataSource }: TestApp, title = 'order') => dataSource.manager.save(Item, { title });
  /** What is there to be handled, `handler key state attempt`. */
  async function deliveries({ dataSource }: TestApp): Promise<string[]> {
    const rows: { handler: string; event_key: string; state: string; attempt: number }[] = await dataSource.query(
      'SELECT handler, event_key, state, attempt FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id',
    );
    return rows.map(({ handler, event_key: key, state, attempt }) => `${handler} ${key} ${state} ${attempt}`).sort();
  }

  const maintenanceOf = ({ spark }: TestApp) =>
    (spark as unknown as { spark: { maintenance: { ticker: { start(): void; stop(): Promise<void> } } } }).spark
      .maintenance.ticker;

  /** Lets a process stand still for longer than its handlers are waited for. */
  async function standStill(app: TestApp): Promise<void> {
    await maintenanceOf(app).stop();
    await app.dataSource.query('UPDATE spark_handler SET last_seen_at = 0');
  }

  /** Lets a process do what it does each minute. */
  async function maintain(app: TestApp): Promise<void> {
    maintenanceOf(app).start();
    await vi.waitFor(async () => {
      const [row] = await app.dataSource.query('SELECT last_seen_at FROM spark_handler');
      expect(Number(row.last_seen_at)).toBeGreaterThan(Date.now() - 10_000);
    });
  }

  it('a process without a handler opens its deliveries, and one with it handles them', async () => {
    await stop(await start([Mails]));

    const recorder = await start([]);
    const { id } = await save(recorder);
    await save(recorder, 'other');
    await recorder.spark.drain();
    const open = [`mails order_${id} available 0`, `mails order_later_${id} available 0`];
    expect(await deliveries(recorder)).toEqual(open);

    const { app, spark } = await start([Mails]);
    await spark.drain();
    expect(app.get(Mails).handled.sort()).toEqual([`order_${id}`, `order_later_${id}`]);
    expect(await deliveries(recorder)).toEqual(open.map((line) => line.replace('available 0', 'completed 1')));
  });

  it('what a process emits and sweeps is delivered by others too', async () => {
    await stop(await start([Mails]));

    const recorder = await start([]);
    await recorder.spark.emit(sparkEvent('order_emitted', 1));
    await recorder.dataSource.transaction((manager) =>
      recorder.spark.emit(sparkEvent('order_emitted', 2), { manager }),
    );
    await recorder.dataSource.query(`INSERT INTO item (title) VALUES ('order')`);
    await recorder.spark.sweep();
    const keys = ['order_1', 'order_emitted_1', 'order_emitted_2', 'order_later_1'];
    expect(await deliveries(recorder)).toEqual(keys.map((key) => `mails ${key} available 0`));
  });

  it('a handler that registers meanwhile gets the very next event of a process that is running', async () => {
    const recorder = await start([]);
    const before = await save(recorder);
    await recorder.spark.drain();

    // Not a worker: what is delivered to it stays where it can be seen.
    await start([Mails], { worker: false });
    const next = await save(recorder);
    await recorder.spark.drain();
    const expected = [`mails order_${next.id} available 0`, `mails order_later_${next.id} available 0`];
    // Either of the two processes takes the recheck.
    await vi.waitFor(async () => expect(await deliveries(recorder)).toEqual(expected));
    // … also by a process that enters nothing new when it learns of the handler.
    await recorder.dataSource.manager.save(Item, { id: before.id, title: 'order' });
    await recorder.spark.sweep();
    expect(await deliveries(recorder)).toHaveLength(2);
  });

  it('several handlers that register meanwhile, in one transaction of several events', async () => {
    const recorder = await start([Mails], { worker: false });
    await start([Statistics], { worker: false });
    const { manager } = recorder.dataSource;
    await manager.save([manager.create(Item, { title: 'order' }), manager.create(Item, { title: 'refund' })]);
    await recorder.spark.emit(sparkEvent('order_emitted', 1));
    const opened = (await deliveries(recorder)).filter((line) => !line.includes('_later_'));
    expect(opened).toEqual([
      'mails order_1 available 0',
      'mails order_emitted_1 available 0',
      'statistics order_1 available 0',
      'statistics order_emitted_1 available 0',
      'statistics refund_2 available 0',
    ]);
  });

  it('a handler that registers meanwhile, in many transactions at the same time', async () => {
    const recorder = await start([]);
    await start([Mails], { worker: false });
    const ids = Array.from({ length: 20 }, (_, i) => i + 1);
    await Promise.all(ids.map((id) => recorder.spark.emit(sparkEvent('order_emitted', id))));
    expect(await deliveries(recorder)).toEqual(ids.map((id) => `mails order_emitted_${id} available 0`).sort());
  });

  it('a handler that had expired gets the very next event after it has come back', async () => {
    await stop(await start([Mails]));
    const { dataSource } = await start([]);
    await dataSource.query('UPDATE spark_handler SET last_seen_at = 0');
    const recorder = await start([]);
    await recorder.spark.emit(sparkEvent('order_emitted', 1));
    await start([Mails], { worker: false });
    await recorder.spark.emit(sparkEvent('order_emitted', 2));
    expect(await deliveries(recorder)).toEqual(['mails order_emitted_2 available 0']);
  });

  it('a process opens the deliveries of its own handlers however long it has stood still', async () => {
    const sleeper = await start([Mails], { worker: false });
    await standStill(sleeper);
    // It reads the handlers anew when it learns that there is another one.
    await start([Statistics], { worker: false });
    await save(sleeper);
    const { id } = await save(sleeper);
    const opened = (await deliveries(sleeper)).filter((line) => line.includes(` order_${id} `));
    expect(opened).toEqual([`mails order_${id} available 0`, `statistics order_${id} available 0`]);
  });

  it('a handler that had expired while its process stood still gets the very next event after it says so', async () => {
    const sleeper = await start([Mails], { worker: false });
    await standStill(sleeper);
    const recorder = await start([]);
    await save(recorder);
    expect(await deliveries(recorder)).toEqual([]);
    await maintain(sleeper);
    const { id } = await save(recorder);
    await vi.waitFor(async () => expect(await deliveries(recorder)).toContain(`mails order_${id} available 0`));
  });

  it('a new handler begins where it was first seen', async () => {
    const early = await start([]);
    const before = await save(early);
    await early.spark.drain();
    await stop(early);

    const { app, spark, dataSource } = await start([Statistics]);
    await dataSource.manager.save(Item, { id: before.id, title: 'order' });
    await spark.sweep();
    await spark.drain();
    expect(app.get(Statistics).handled).toEqual([]);

    const { id } = await dataSource.manager.save(Item, { title: 'order' });
    await spark.drain();
    expect(app.get(Statistics).handled.sort()).toEqual([`order_${id}`, `order_later_${id}`]);
  });

  it('a handler that comes back under its name, in other code and with another pattern, goes on', async () => {
    await stop(await start([Mails]));
    const recorder = await start([]);
    const order = await save(recorder);
    await save(recorder, 'refund');
    await recorder.spark.drain();

    const { app, spark } = await start([WiderMails]);
    const refund = await save(recorder, 'refund');
    await recorder.spark.drain();
    await spark.drain();
    expect(app.get(WiderMails).handled.sort()).toEqual([
      `order_${order.id}`,
      `order_later_${order.id}`,
      `refund_${refund.id}`,
      `refund_later_${refund.id}`,
    ]);
  });

  it('a process leaves the deliveries of handlers that it does not have alone', async () => {
    await stop(await start([Mails]));
    const other = await start([Statistics], { worker: { pollInterval: '10ms' } });
    const { id } = await save(other);
    await other.spark.drain();
    await delay(50);
    expect(other.app.get(Statistics).handled.sort()).toEqual([`order_${id}`, `order_later_${id}`]);
    expect((await deliveries(other)).filter((line) => line.startsWith('mails'))).toEqual([
      `mails order_${id} available 0`,
      `mails order_later_${id} available 0`,
    ]);
  });

  it('a process says each minute that its handlers are still there', async () => {
    const sleeper = await start([Mails], { worker: false });
    await standStill(sleeper);
    await maintain(sleeper);
  });

  it('with `worker: false` a process records, registers and handles nothing', async () => {
    await stop(await start([Mails]));
    const before = await start([]);
    const first = await save(before);
    await stop(before);

    const recorder = await start([Mails], { worker: false });
    const { id } = await save(recorder);
    await delay(100);
    expect(recorder.app.get(Mails).handled).toEqual([]);
    expect(await deliveries(recorder)).toEqual(
      expect.arrayContaining([`mails order_${first.id} available 0`, `mails order_${id} available 0`]),
    );

    const worker = await start([Mails], { worker: { pollInterval: '10ms' } });
    const { handled } = worker.app.get(Mails);
    for (let i = 0; i < 500 && handled.length < 4; i++) await delay(10);
    expect([...handled].sort()).toEqual(
      [first.id, id].flatMap((each) => [`order_${each}`, `order_later_${each}`]).sort(),
    );
    expect(recorder.app.get(Mails).handled).toEqual([]);
  });

  it('a pattern that a process of the first release has overwritten is put right by the next boot', async () => {
    await stop(await start([Mails]));
    const recorder = await start([]);
    await recorder.dataSource.query(`UPDATE spark_handler SET pattern = '/^nothing$/'`);
    await stop(await start([Mails]));
    const [{ pattern }] = await recorder.dataSource.query('SELECT pattern FROM spark_handler');
    expect(pattern).toBe('/^order/');
  });

  it('each delivery goes to one of the processes that have its handler', async () => {
    const processes = [await start([Mails]), await start([Mails]), await start([Mails])];
    const { manager } = processes[0]!.dataSource;
    await manager.save(Array.from({ length: 50 }, () => manager.create(Item, { title: 'order' })));
    await vi.waitFor(async () => {
      await Promise.all(processes.map(({ spark }) => spark.drain()));
      const done = (await deliveries(processes[0]!)).filter((line) => line.endsWith('completed 1'));
      expect(done).toHaveLength(100);
    }, 15_000);
    const handled = processes.flatMap(({ app }) => app.get(Mails).handled);
    expect(handled).toHaveLength(100);
    expect(new Set(handled).size).toBe(100);
  }, 20_000);
});
