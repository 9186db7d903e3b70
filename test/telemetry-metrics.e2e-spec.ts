import { Injectable } from '@nestjs/common';
import {
  BatchError,
  DiscardDelivery,
  EventSource,
  GroupHandler,
  type HandlerScope,
  RetryLater,
  sparkEvent,
  type SparkEvent,
  SparkService,
} from 'nestjs-spark';
import { SparkTelemetryModule } from 'nestjs-spark/otel';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { Metering, type Point } from './support/metering.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column({ default: false }) isBad: boolean;
}

@Injectable()
class Shop {
  @EventSource(Order, { name: 'orders', history: 'held' }) *orders({ id, isBad }: Order) {
    if (isBad) yield { group: '', key: '', context: {} };
    yield sparkEvent('order', id);
  }
}

class OutOfPaper extends Error {}

let handle: (event: SparkEvent, scope: HandlerScope) => unknown = () => undefined;

@Injectable()
class Mails {
  @GroupHandler(/./, { name: 'mails', maxAttempts: 2, backoff: { base: '1s', max: '1s' } })
  async mails(event: SparkEvent, scope: HandlerScope) {
    await handle(event, scope);
  }

  @GroupHandler(/^bulk/, { name: 'bulk', batch: { max: 10 } }) bulk(events: SparkEvent[]) {
    throw new BatchError(events.slice(1));
  }
}

const ENTERED = { 'messaging.system': 'spark', 'messaging.operation.name': 'enter' };
const PROCESSED = { 'messaging.system': 'spark', 'messaging.operation.name': 'process' };

describe.each(databases)('metrics of Spark, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let metering: Metering;
  let clock: TestClock;

  beforeEach(async () => {
    db = await database.create();
    metering = new Metering();
    clock = new TestClock(Date.now() - 120_000);
    handle = () => undefined;
    app = await startApp({
      database: db,
      entities: [Order],
      providers: [Shop, Mails],
      imports: [SparkTelemetryModule.forRoot()],
      clock,
      spark: { activation: { limit: 1 } },
    });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await app.close();
    await db.drop();
    await metering.end();
  });

  const save = (...ids: number[]) =>
    app.dataSource.manager.save(
      Order,
      ids.map((id) => ({ id })),
    );
  const emit = (...ids: number[]) => app.spark.emit(ids.map((id) => sparkEvent('mail', id)));

  it('events count once they are entered, and not when they are known or rolled back', async () => {
    await save(1, 2);
    await save(1);
    await emit(1);
    await emit(1);
    await app.dataSource.manager
      .transaction(async (manager) => {
        await manager.save(Order, { id: 3 });
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    const sent = 'messaging.client.sent.messages';
    expect(await metering.sum(sent, { ...ENTERED, 'messaging.destination.name': 'order' })).toBe(2);
    expect(await metering.sum(sent)).toBe(3);
    const duration = 'messaging.client.operation.duration';
    expect(await metering.sum(duration, { ...ENTERED, 'messaging.destination.name': 'order' })).toBe(2);
    const [point] = await metering.points(duration, { 'messaging.destination.name': 'order' });
    const { buckets, min } = point!.value as Extract<Point['value'], object>;
    expect(buckets.boundaries).toEqual([0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]);
    expect(min).toBeGreaterThan(0);
    expect(min).toBeLessThan(10);
  });

  it('events that saves, rechecks and emit make once more count as known, and those of sweeps do not', async () => {
    const known = (group: string) =>
      metering.sum('spark.known.events', { ...ENTERED, 'messaging.destination.name': group });
    await save(1, 2);
    await emit(1, 2);
    expect([await known('order'), await known('mail')]).toEqual([0, 0]);
    await app.dataSource.manager.update(Order, { id: 1 }, { isBad: false });
    await app.spark.drain();
    await emit(2, 3);
    await app.spark.sweep();
    expect([await known('order'), await known('mail')]).toEqual([1, 1]);
  });

  it('attempts count by handler, group and error, and deliveries by how attempts leave them', async () => {
    handle = ({ key }, { attempt }) => {
      if (key === 'mail_2' && attempt === 1) throw new OutOfPaper('for mail 2');
      if (key === 'mail_3') throw new DiscardDelivery('no address');
    };
    await emit(1, 2, 3);
    await app.spark.drain();
    await new SparkTestKit(app.app).advance('5s');
    const of = { ...PROCESSED, 'messaging.destination.name': 'mail', 'messaging.consumer.group.name': 'mails' };
    for (const name of ['messaging.client.consumed.messages', 'messaging.process.duration', 'spark.delivery.lag'])
      expect(await metering.sum(name, of)).toBe(4);
    for (const name of ['messaging.client.consumed.messages', 'messaging.process.duration']) {
      expect(await metering.sum(name, { ...of, 'error.type': 'OutOfPaper' })).toBe(1);
      expect(await metering.sum(name, { ...of, 'error.type': 'DiscardDelivery' })).toBe(1);
    }
    const ended = (state: string) => metering.sum('spark.delivery.attempts', { 'spark.delivery.state': state });
    expect([await ended('completed'), await ended('available'), await ended('discarded')]).toEqual([2, 1, 1]);
  });

  it('a call with many events counts each of them, and its time once', async () => {
    await app.spark.emit([1, 2, 3].map((id) => sparkEvent('bulk', id)));
    await app.spark.drain();
    const of = { 'messaging.consumer.group.name': 'bulk' };
    const consumed = 'messaging.client.consumed.messages';
    expect(await metering.sum(consumed, of)).toBe(3);
    expect(await metering.sum(consumed, { ...of, 'error.type': 'BatchError' })).toBe(2);
    expect(await metering.sum('spark.delivery.lag', of)).toBe(3);
    expect(await metering.sum('messaging.process.duration', of)).toBe(1);
  });

  it('a handler that asks to be called later has no error', async () => {
    handle = () => {
      throw new RetryLater('1m');
    };
    await emit(1);
    await app.spark.drain();
    const [point] = await metering.points('messaging.client.consumed.messages');
    expect(point!.attributes).not.toHaveProperty('error.type');
  });

  it('attempts whose delivery another process has taken over are problems, and leave no state', async () => {
    const lease = `'rival', 99999999999999, 'h', 1, 1`;
    await app.dataSource.query(`INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES (${lease})`);
    handle = () => app.dataSource.query(`UPDATE spark_delivery SET claimed_by = 'rival' WHERE state = 'running'`);
    await emit(1, 2);
    await app.spark.drain();
    expect(await metering.sum('spark.problems', { 'spark.problem': 'fencedAttempts' })).toBe(2);
    expect(await metering.points('spark.delivery.attempts')).toEqual([]);
    expect(await metering.sum('messaging.client.consumed.messages')).toBe(2);
  });

  it('the lag is the time from due to the beginning of the handler', async () => {
    await emit(1);
    clock.set(clock.now() + 90_000);
    await app.spark.drain();
    const [{ value }] = (await metering.points('spark.delivery.lag')) as [Point];
    expect(value).toMatchObject({ sum: 90, count: 1 });
  });

  it('no attribute holds a key, however many events there are', async () => {
    handle = () => {
      throw new OutOfPaper('once more');
    };
    await emit(...Array.from({ length: 100 }, (_, i) => 1_000 + i));
    await app.spark.drain();
    await save(...Array.from({ length: 100 }, (_, i) => 2_000 + i));
    await app.spark.drain();
    await app.spark.sweep();
    for (const { descriptor, dataPoints } of await metering.collect()) {
      expect([descriptor.name, dataPoints.length]).toEqual([descriptor.name, expect.toSatisfy((n: number) => n < 15)]);
      expect(JSON.stringify(dataPoints.map(({ attributes }) => attributes))).not.toMatch(/\d/);
    }
  });

  it('groups that are made of ids become one', async () => {
    await app.spark.emit(Array.from({ length: 600 }, (_, i) => sparkEvent(`mail-${i}`, i)));
    const sent = await metering.points('messaging.client.sent.messages');
    expect(sent).toHaveLength(501);
    expect(await metering.sum('messaging.client.sent.messages', { 'messaging.destination.name': '_OTHER' })).toBe(100);
  }, 60_000);

  it('sweeps count pages, entities and events, from sweep to sweep', async () => {
    const rows = Array.from({ length: 700 }, (_, i) => `(${i}, ${database.name === 'PostgreSQL' ? 'false' : '0'})`);
    const columns = database.name === 'MariaDB' ? 'id, isBad' : 'id, "isBad"';
    const table = database.name === 'MariaDB' ? '`order`' : '"order"';
    await app.dataSource.query(`INSERT INTO ${table} (${columns}) VALUES ${rows.join()}`);
    const swept = async () =>
      Promise.all(
        ['pages', 'entities', 'events'].map((what) =>
          metering.sum(`spark.sweep.${what}`, { 'spark.source': 'orders', 'spark.data_source': 'default' }),
        ),
      );
    const { subjects, entered } = await app.spark.sweep();
    expect([subjects, entered]).toEqual([700, 700]);
    const [pages, entities, events] = await swept();
    expect([entities, events]).toEqual([700, 700]);
    expect(pages).toBeGreaterThanOrEqual(2);
    await app.spark.sweep();
    expect(await swept()).toEqual([2 * pages!, 1_400, 700]);
    expect(await metering.sum('spark.held.deliveries', { 'messaging.destination.name': 'order' })).toBe(700);
    expect(await metering.sum('spark.deliveries', { 'spark.delivery.state': 'held' })).toBe(700);
  }, 60_000);

  it('the status is that of the database: backlog, age, discarded, orphans, missed, rechecks, workers, problems', async () => {
    await app.dataSource.manager.save(Order, { id: 1, isBad: true });
    handle = ({ key }) => {
      if (key === 'order_1') throw new DiscardDelivery('no address');
    };
    await app.spark.drain();
    clock.set(Date.now() - 60_000);
    await emit(1, 2);
    const status = await app.spark.status();
    vi.spyOn(SparkService.prototype, 'status').mockResolvedValue({
      ...status,
      orphans: [{ handler: 'gone', deliveries: 3, since: new Date(), lastSeen: new Date() }],
      sources: status.sources.map((source) => ({ ...source, missed: 5 })),
      rechecks: { due: 2, oldest: new Date(Date.now() - 30_000), others: 0 },
    });
    const at = { 'spark.data_source': 'default' };
    const figures = Object.fromEntries(
      (await metering.collect()).map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints as Point[]]),
    );
    const value = (name: string, attributes = {}) => {
      const found = figures[name]!.filter((point) =>
        expect.objectContaining({ ...at, ...attributes }).asymmetricMatch(point.attributes),
      );
      expect(found).toHaveLength(1);
      return found[0]!.value as number;
    };
    const handler = { 'messaging.consumer.group.name': 'mails' };
    expect(value('spark.deliveries', { ...handler, 'spark.delivery.state': 'available' })).toBe(2);
    expect(value('spark.deliveries', { ...handler, 'spark.delivery.state': 'discarded' })).toBe(1);
    expect(value('spark.backlog.age', handler)).toBeGreaterThan(59);
    expect(value('spark.backlog.age', handler)).toBeLessThan(120);
    expect(value('spark.orphaned.deliveries', { 'messaging.consumer.group.name': 'gone' })).toBe(3);
    expect(value('spark.sweep.missed', { 'spark.source': 'orders' })).toBe(5);
    expect(value('spark.rechecks.due')).toBe(2);
    expect(value('spark.recheck.lag')).toBeGreaterThan(29);
    expect(value('spark.workers')).toBe(1);
    expect(value('spark.problems', { 'spark.problem': 'refusedEvents' })).toBe(1);
    expect(value('spark.problems', { 'spark.problem': 'failedInterceptors' })).toBe(0);
  });

  it('a collection reads the status once, and the next ones for five seconds do not', async () => {
    const status = vi.spyOn(app.spark, 'status');
    await Promise.all([metering.collect(), metering.collect()]);
    await metering.collect();
    expect(status).toHaveBeenCalledTimes(1);
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 5_500);
    await metering.collect();
    expect(status).toHaveBeenCalledTimes(2);
  });

  it('a status that cannot be read is logged once, and the other metrics stay', async () => {
    vi.spyOn(app.spark, 'status').mockRejectedValue(new Error('the database is away'));
    await emit(1);
    expect(await metering.sum('messaging.client.sent.messages')).toBe(1);
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 5_500);
    expect(await metering.points('spark.deliveries')).toEqual([]);
    expect(app.logs.filter((line) => line.includes('Metrics lack'))).toEqual([
      'warn Metrics lack the status of the DataSource default, which cannot be read: the database is away',
    ]);
  });

  it('a closed application reports no status, and does not read it', async () => {
    const status = vi.spyOn(app.spark, 'status');
    await app.close();
    expect(await metering.points('spark.deliveries')).toEqual([]);
    expect(status).not.toHaveBeenCalled();
    expect(app.logs.join()).not.toContain('Metrics lack');
  });
});
