import { Injectable } from '@nestjs/common';
import { BatchError, sparkEvent } from 'nestjs-spark';
import { type CloudEvent, type CloudEventSender, Relay, SparkRelayModule } from 'nestjs-spark/microservices';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { firsts, Journey, Journeys, overtaken, walk } from './support/journeys.js';

/** What the relays of all applications do with a call, and the calls that succeeded. */
let deliver: (events: CloudEvent[]) => Promise<void>;
let calls: CloudEvent[][];

@Relay(/^journey/, {
  name: 'ordered',
  orderBy: 'entity',
  concurrency: 3,
  fleetConcurrency: 9,
  batch: { max: 10, wait: '5ms' },
  backoff: { base: '100ms', max: '300ms' },
})
@Injectable()
class Ordered implements CloudEventSender {
  async send(events: CloudEvent[]) {
    try {
      await deliver(events);
      calls.push(events);
    } catch (error) {
      if (error instanceof BatchError) calls.push(events.filter(({ id }) => !error.failed.has(id)));
      throw error;
    }
  }
}

@Relay(/^order/, { name: 'orders', batch: { max: 50 }, data: ({ context }) => context, extensions: ['tenant'] })
@Injectable()
class Orders implements CloudEventSender {
  async send(events: CloudEvent[]) {
    await deliver(events);
    calls.push(events);
  }
}

describe.each(databases)('relays, on $name', (database) => {
  let db: TestDatabase;
  let apps: TestApp[];

  const start = async () => {
    const app = await startApp({
      database: db,
      entities: [Journey],
      imports: [SparkRelayModule.forRoot({ source: '/journeys' })],
      providers: [Journeys, Ordered, Orders],
      spark: { worker: { pollInterval: '50ms' } },
    });
    apps.push(app);
    return app;
  };
  const sent = () => calls.flat();
  const until = async (count: number) => {
    for (let i = 0; i < 500 && firsts(sent()).length < count; i++) await delay(50);
  };

  beforeEach(async () => {
    db = await database.create();
    apps = [];
    calls = [];
    deliver = async () => undefined;
  });
  afterEach(async () => {
    for (const app of apps) await app.close();
    await db.drop();
  });

  it('send the events of a transaction together, as CloudEvents', async () => {
    const { spark } = await start();
    const metadata = { tenant: 'acme', secret: 'x' };
    const events = Array.from({ length: 40 }, (_, i) => sparkEvent('order_paid', i, { total: i }, { metadata }));
    await spark.emit(events);
    await spark.drain();
    expect(calls.length).toBeLessThan(5);
    expect(sent()).toHaveLength(40);
    const first = sent().find(({ id }) => id === 'order_paid_0')!;
    expect(first).toEqual({
      specversion: '1.0',
      id: 'order_paid_0',
      source: '/journeys',
      type: 'order_paid',
      time: expect.stringMatching(/^20\d\d-.*Z$/),
      datacontenttype: 'application/json',
      tenant: 'acme',
      data: { total: 0 },
    });
  });

  it('name the table and the id of the entity, and the time at which the event was entered', async () => {
    const { dataSource, spark } = await start();
    const before = Date.now();
    await walk(dataSource, 1, 1);
    await spark.drain();
    const [event] = sent() as [CloudEvent];
    expect(event.subject).toMatch(/^(\w+\.)?journey\/0$/);
    const recorded = (await spark.events({ key: event.id })).records[0]!.recorded;
    expect(event.time).toBe(recorded.toISOString());
    expect(recorded.getTime()).toBeGreaterThan(before - 2_000);
  });

  it('discard at once what JSON cannot carry, say why, and send the others', async () => {
    const { spark } = await start();
    await spark.emit([sparkEvent('order', 1, { a: new Map() }), sparkEvent('order', 2, { at: new Date(0) })]);
    await spark.drain();
    expect(sent()).toMatchObject([{ id: 'order_2', data: { at: '1970-01-01T00:00:00.000Z' } }]);
    const { records } = await spark.deliveries({ state: 'discarded' });
    expect(records).toMatchObject([{ event: { key: 'order_1' } }]);
    expect(records[0]!.error).toContain('order_1 cannot be sent: its data.a is a Map, which JSON cannot carry.');
  });

  it('with an order, no event overtakes an earlier one that fails, and those of other entities do not wait', async () => {
    const { dataSource } = await start();
    let isFailing = true;
    deliver = async (events) => {
      const [first] = events.filter(({ id }) => id === 'journey_step_0@1');
      if (first && isFailing) throw new BatchError(new Map([[first.id, new Error('refused')]]));
    };
    await walk(dataSource, 3, 8);
    await until(16);
    await delay(300);
    const others = (events: CloudEvent[]) => events.filter(({ subject }) => !subject!.endsWith('/0'));
    expect(others(sent())).toHaveLength(16);
    expect(firsts(sent())).toHaveLength(16);
    isFailing = false;
    await until(24);
    expect(overtaken(sent())).toEqual([]);
    expect(firsts(sent())).toHaveLength(24);
  });

  it('with an order, several processes send at random speed and fail at random, and nothing overtakes', async () => {
    await Promise.all([start(), start(), start()]);
    let calling = 0;
    deliver = async () => {
      await delay(Math.random() * 20);
      if (++calling % 5 === 0) throw new Error('now and then');
    };
    await walk(apps[0]!.dataSource, 6, 20);
    await until(120);
    expect(firsts(sent())).toHaveLength(120);
    expect(overtaken(sent())).toEqual([]);
    for (const call of calls) expect(new Set(call.map(({ subject }) => subject)).size).toBe(call.length);
  });

  it('SparkService.overtaking says which events would overtake others, and until when those wait', async () => {
    const { dataSource, spark } = await start();
    await spark.pauseHandler('ordered');
    await walk(dataSource, 2, 3);
    await spark.emit(sparkEvent('journey', 'emitted'));
    const key = (journey: number, step: number) => `journey_step_${journey}@${step}`;
    const overtaking = async (...keys: string[]) => [...(await spark.overtaking('ordered', keys)).keys()];
    expect(await overtaking(key(0, 1), 'journey_emitted')).toEqual([]);
    expect(await overtaking(key(0, 2))).toEqual([key(0, 2)]);
    expect(await overtaking(key(0, 1), key(0, 2))).toEqual([]);
    expect(await overtaking(key(0, 1), key(0, 3), key(1, 1))).toEqual([key(0, 3)]);
    expect(await overtaking()).toEqual([]);
    await spark.discard({ handler: 'ordered', key: key(0, 1) });
    expect(await overtaking(key(0, 2))).toEqual([]);
    expect((await spark.overtaking('ordered', [key(1, 3)])).get(key(1, 3))).toBe(0);
    await expect(spark.overtaking('nobody', ['x'])).rejects.toThrow('There is no handler named "nobody"');
  });
});
