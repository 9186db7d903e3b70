import { Injectable } from '@nestjs/common';
import {
  EventSource,
  GroupHandler,
  type HandlerScope,
  InvalidEventError,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column({ default: 'acme' }) tenant: string;
}

@Injectable()
class Shop {
  @EventSource(Order, { name: 'orders' }) *orders({ id, tenant }: Order) {
    const metadata = tenant === 'none' ? undefined : { tenant };
    yield sparkEvent('order', id, { id }, { metadata: tenant === 'bad' ? ({ at: new Date() } as never) : metadata });
  }
}

const handled: { handler: string; event: SparkEvent }[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/^/, { name: 'plain' }) plain(event: SparkEvent, { attempt }: HandlerScope) {
    handled.push({ handler: 'plain', event });
    if (event.group === 'fails' && attempt === 1) throw new Error('once more');
  }

  @GroupHandler(/^/, { name: 'transactional', transactional: true }) transactional(event: SparkEvent) {
    handled.push({ handler: 'transactional', event });
    // Nobody else's copy.
    if (event.metadata) (event.metadata as { tenant?: string }).tenant = 'changed';
  }
}

const RICH = {
  tenant: 'acme',
  trace: { id: '4bf92f35', flags: 1 },
  roles: ['admin', null, true],
  text: 'ü 😀 \0 \ud800',
};

describe.each(databases)('metadata goes along with its event, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let clock: TestClock;
  const log = new QueryLog();

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock('2026-03-01T10:00:00Z');
    handled.length = 0;
    app = await startApp({
      database: db,
      entities: [Order],
      providers: [Shop, Handlers],
      clock,
      spark: { retention: { completed: '30d', discarded: '30d' } },
      dataSource: { logging: 'all', logger: log },
    });
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const metadataOf = (name: string) =>
    handled.filter(({ handler }) => handler === name).map(({ event }) => event.metadata);
  const records = async () => (await app.spark.events()).records.map(({ key, metadata }) => [key, metadata]);

  it('from a save, an emit and an emit with a manager to every handler, events$ and the lists', async () => {
    const seen: unknown[] = [];
    app.spark.events$.subscribe(({ metadata }) => seen.push(metadata));
    await app.dataSource.manager.save(Order, { id: 1, tenant: 'acme' });
    await app.spark.emit(sparkEvent('emitted', 1, {}, { metadata: RICH }));
    await app.dataSource.transaction((manager) =>
      app.spark.emit(sparkEvent('with_manager', 1, undefined, { metadata: { tenant: 'm' } }), { manager }),
    );
    expect(await records()).toEqual([
      ['with_manager_1', { tenant: 'm' }],
      ['emitted_1', RICH],
      ['order_1', { tenant: 'acme' }],
    ]);
    expect(seen).toEqual([{ tenant: 'acme' }, RICH, { tenant: 'm' }]);
    await app.spark.drain();
    expect(metadataOf('plain')).toEqual(expect.arrayContaining([{ tenant: 'acme' }, RICH, { tenant: 'm' }]));
    expect(metadataOf('transactional')).toHaveLength(3);
  });

  it('from a sweep, and again at each attempt', async () => {
    await app.dataSource.query(`INSERT INTO ${app.dataSource.driver.escape('order')} (id, tenant) VALUES (1, 'swept')`);
    await app.spark.sweep();
    await app.spark.drain();
    expect(metadataOf('plain')).toEqual([{ tenant: 'swept' }]);
    await app.spark.emit(sparkEvent('fails', 1, {}, { metadata: { tenant: 'again' } }));
    await new SparkTestKit(app.app).advance('5m');
    expect(metadataOf('plain').slice(1)).toEqual([{ tenant: 'again' }, { tenant: 'again' }]);
    await app.spark.replay({ handler: 'plain', repeat: true, group: 'fails' });
    await app.spark.drain();
    expect(metadataOf('plain').slice(3)).toEqual([{ tenant: 'again' }]);
  });

  it('many events at once keep each its own', async () => {
    const events = Array.from({ length: 40 }, (_, i) =>
      sparkEvent('many', i, {}, i % 2 === 0 ? { metadata: { i } } : {}),
    );
    await app.spark.emit(events);
    await app.spark.emit(Array.from({ length: 40 }, (_, i) => sparkEvent('same', i, {}, { metadata: RICH })));
    await app.spark.drain();
    const { records: all } = await app.spark.events({ group: 'many' });
    expect(all.map(({ key, metadata }) => [key, metadata])).toEqual(
      expect.arrayContaining(events.map(({ key, metadata }) => [key, metadata])),
    );
    const given = handled.filter(({ handler, event }) => handler === 'plain' && event.group === 'many');
    expect(Object.fromEntries(given.map(({ event }) => [event.key, event.metadata]))).toEqual(
      Object.fromEntries(events.map(({ key, metadata }) => [key, metadata])),
    );
    expect((await app.spark.events({ group: 'same' })).records.every(({ metadata }) => metadata?.trace)).toBe(true);
  });

  it('no event has it that was given none, and no statement more is sent', async () => {
    const statements = async (id: number, tenant: string) => {
      log.statements.length = 0;
      await app.dataSource.manager.save(Order, { id, tenant });
      await app.spark.drain();
      return log.statements.length;
    };
    await statements(1, 'acme');
    const plain = await statements(2, 'none');
    expect(await statements(3, 'acme')).toBe(plain);
    const none = handled.filter(({ event }) => event.key === 'order_2');
    expect(none).toHaveLength(2);
    expect(none.map(({ event }) => 'metadata' in event)).toEqual([false, false]);
    expect((await app.spark.events({ key: 'order_2' })).records[0]!.metadata).toBeUndefined();
    const [row] = await app.dataSource.query(`SELECT metadata FROM spark_event WHERE event_key = 'order_2'`);
    expect(row.metadata).toBeNull();
  });

  it('is no part of the key: the first one stays', async () => {
    await app.spark.emit(sparkEvent('once', 1, {}, { metadata: { tenant: 'first' } }));
    expect(await app.spark.emit(sparkEvent('once', 1, {}, { metadata: { tenant: 'second' } }))).toEqual([]);
    await app.dataSource.manager.save(Order, { id: 1, tenant: 'first' });
    await app.dataSource.manager.save(Order, { id: 1, tenant: 'second' });
    expect(await records()).toEqual([
      ['order_1', { tenant: 'first' }],
      ['once_1', { tenant: 'first' }],
    ]);
  });

  it('what cannot be stored is refused with a reason, and loses nothing else', async () => {
    const bad = sparkEvent('bad', 1, {}, { metadata: { actor: { since: new Date() } } as never });
    await expect(app.spark.emit([sparkEvent('good', 1), bad])).rejects.toThrow(InvalidEventError);
    await expect(app.spark.emit(bad)).rejects.toThrow('metadata.actor.since is a Date, which JSON cannot hold');
    await app.dataSource.manager.save(Order, [
      { id: 1, tenant: 'bad' },
      { id: 2, tenant: 'good' },
    ]);
    expect(await records()).toEqual([['order_2', { tenant: 'good' }]]);
    expect((await app.spark.status()).counts.refusedEvents).toBe(1);
    expect((await app.spark.explain(Order, 1)).sources[0]!.events[0]!.reason).toMatch('metadata.at is a Date');
  });

  it('retention removes it where it removes the context', async () => {
    await app.spark.emit([
      sparkEvent('both', 1, { a: 1 }, { metadata: { tenant: 'acme' } }),
      sparkEvent('metadata_only', 1, undefined, { metadata: { tenant: 'acme' } }),
    ]);
    const kit = new SparkTestKit(app.app);
    await kit.advance('29d');
    expect((await app.spark.events()).records.every(({ metadata }) => metadata?.tenant === 'acme')).toBe(true);
    await kit.advance('2d');
    const left = (await app.spark.events()).records;
    expect(left.map(({ key, context, metadata }) => [key, context, metadata])).toEqual([
      ['metadata_only_1', undefined, undefined],
      ['both_1', undefined, undefined],
    ]);
  });

  it('an event whose metadata is gone is delivered without', async () => {
    await app.spark.emit(sparkEvent('gone', 1, {}, { metadata: { tenant: 'acme' } }));
    await app.dataSource.query(`UPDATE spark_event SET metadata = NULL`);
    await app.spark.drain();
    expect(metadataOf('plain')).toEqual([undefined]);
  });
});
