import { Injectable } from '@nestjs/common';
import {
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  type Page,
  sparkEvent,
  UnknownEntityError,
} from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column({ type: 'bigint' }) shipped: string;
}

@Entity()
class Seat {
  @PrimaryColumn() row: string;
  @PrimaryColumn() number: number;
}

class Stranger {}

const HOUR = 3_600_000;

@Injectable()
class Shop {
  @EventSource(Order, { name: 'orders' }) *orders({ id, shipped }: Order) {
    yield sparkEvent('order_placed', id, { id });
    yield sparkEvent('order_shipped', id, undefined, { at: new Date(Number(shipped)) });
  }
  @EventSource(Seat, { name: 'seats' }) *seats({ row, number }: Seat) {
    yield sparkEvent('seat', [row, number]);
  }
  @GroupHandler(/^order/, { name: 'mails', maxAttempts: 1 }) mail({ key }: { key: string }) {
    if (key === 'order_placed_2') throw new Error('The server said: 100%_full');
  }
  @GroupHandler(/^seat$/, { name: 'seats', priority: 5 }) seat() {}
}

describe.each(databases)('events and deliveries are listed, on $name', (database) => {
  const clock = new TestClock('2026-03-01T10:00:00Z');
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [Order, Seat], providers: [Shop], clock });
    const { manager } = app.dataSource;
    for (const id of [1, 2, 3]) {
      await manager.save(Order, { id, shipped: String(Date.parse(`2026-03-02T1${id}:00:00Z`)) });
      clock.set(clock.now() + HOUR);
    }
    await manager.save(Seat, [
      { row: 'A', number: 1 },
      { row: 'A', number: 2 },
    ]);
    await app.spark.emit(sparkEvent('order_%', 'x_y'));
    await app.spark.drain();
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const keysOf = async (page: Promise<Page<{ key: string }>>) => (await page).records.map(({ key }) => key);
  const eventsOf = async (page: ReturnType<TestApp['spark']['deliveries']>) =>
    (await page).records.map(({ event }) => event.key);

  it('events, the latest first, with what the ledger has of them', async () => {
    expect(await keysOf(app.spark.events())).toEqual([
      'order_%_x\\_y',
      'seat_A,2',
      'seat_A,1',
      'order_placed_3',
      'order_placed_2',
      'order_placed_1',
    ]);
    const [first] = (await app.spark.events({ key: 'order_placed_1' })).records;
    expect(first).toEqual({
      id: expect.stringMatching(/^\d+$/),
      key: 'order_placed_1',
      group: 'order_placed',
      entity: 'Order',
      entityId: '1',
      source: 'orders',
      at: undefined,
      until: undefined,
      recorded: new Date('2026-03-01T10:00:00Z'),
      depth: 0,
      causedBy: undefined,
      context: expect.stringContaining('"id":1'),
    });
    const [emitted] = (await app.spark.events({ keyPrefix: 'order_%' })).records;
    expect(emitted).toMatchObject({ entity: undefined, entityId: undefined, source: undefined, context: undefined });
  });

  it.each([
    ['the beginning of the key', { keyPrefix: 'order_placed_' }, 3],
    ['it in another case', { keyPrefix: 'Order_' }, 0],
    ['several keys', { key: ['seat_A,1', 'order_placed_2', 'nothing_1'] }, 2],
    ['the group', { group: 'seat' }, 2],
    ['the entity', { entity: Order }, 3],
    ['the entity and its id', { entity: Order, id: 2 }, 1],
    ['a composite id', { entity: Seat, id: ['A', 2] }, 1],
    ['the source', { source: 'seats' }, 2],
    ['the time', { from: new Date('2026-03-01T11:00:00Z'), to: new Date('2026-03-01T13:00:00Z') }, 2],
    ['all of it', { entity: Order, id: 1, source: 'orders', group: 'order_placed', keyPrefix: 'order' }, 1],
    ['what nothing has', { group: "'; DROP TABLE spark_event; --" }, 0],
  ])('events by %s', async (_, filter, count) => {
    const page = await app.spark.events(filter, { countUpTo: 100 });
    expect(page).toMatchObject({ count, next: undefined });
    expect(page.records).toHaveLength(count);
  });

  it('deliveries, with their events, how they ended and why', async () => {
    expect(await eventsOf(app.spark.deliveries())).toEqual(await keysOf(app.spark.events()));
    const [failed] = (await app.spark.deliveries({ state: 'discarded' })).records;
    expect(failed).toEqual({
      id: expect.stringMatching(/^\d+$/),
      event: {
        id: expect.stringMatching(/^\d+$/),
        key: 'order_placed_2',
        group: 'order_placed',
        entity: 'Order',
        entityId: '2',
        source: 'orders',
        recorded: new Date('2026-03-01T11:00:00Z'),
      },
      handler: 'mails',
      state: 'discarded',
      attempt: 1,
      priority: 0,
      due: new Date('2026-03-01T11:00:00Z'),
      started: new Date('2026-03-01T13:00:00Z'),
      finished: new Date('2026-03-01T13:00:00Z'),
      durationMs: undefined,
      error: expect.stringContaining('The server said: 100%_full'),
      fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
      worker: expect.anything(),
    });
  });

  it.each([
    ['the handler', { handler: 'mails' }, 4],
    ['the state', { state: 'completed' as const }, 5],
    ['several states', { state: ['discarded', 'held'] as const }, 1],
    ['a part of the error', { error: 'SERVER said: 100%_f' }, 1],
    ['a part of it with wild cards', { error: '100__full' }, 0],
    ['the entity of the event', { entity: Seat }, 2],
    ['the key of the event', { key: 'seat_A,1' }, 1],
  ])('deliveries by %s', async (_, filter, count) => {
    expect(await app.spark.deliveries(filter, { countUpTo: 100 })).toMatchObject({ count, next: undefined });
  });

  it('rechecks, the soonest first', async () => {
    const { records } = await app.spark.rechecks({ entity: Order });
    expect(records.map(({ entityId }) => entityId)).toEqual(['1', '2', '3']);
    expect(records[0]).toEqual({
      id: expect.stringMatching(/^-?\d+$/),
      entity: 'Order',
      entityId: '1',
      due: new Date('2026-03-02T11:00:00Z'),
      attempt: 0,
    });
    expect(await app.spark.rechecks({ entity: Order, id: 3 }, { countUpTo: 9 })).toMatchObject({ count: 1 });
    expect((await app.spark.rechecks({ to: new Date('2026-03-02T11:00:00Z') })).records).toEqual([]);
  });

  it('page by page, each record once, also where more come meanwhile', async () => {
    const { records: all } = await app.spark.deliveries();
    const seen: string[] = [];
    for (let after: string | undefined, isLast = false; !isLast;) {
      const page = await app.spark.deliveries({}, { limit: 2, after });
      expect(page.records.length).toBeLessThanOrEqual(2);
      seen.push(...page.records.map(({ id }) => id));
      isLast = page.next === undefined;
      after = page.next;
      if (seen.length === 2) await app.spark.emit(sparkEvent('order_late', 1));
    }
    expect(seen).toEqual(all.map(({ id }) => id));
    expect(await app.spark.events({}, { limit: 1, countUpTo: 3 })).toMatchObject({ count: 3 });
    const rechecks = await app.spark.rechecks({}, { limit: 2 });
    const { records: last, next } = await app.spark.rechecks({}, { limit: 2, after: rechecks.next });
    expect([...rechecks.records, ...last].map(({ entityId }) => entityId)).toEqual(['1', '2', '3']);
    expect(next).toBeUndefined();
  });

  it('sources, handlers and workers, as status reports them', async () => {
    const { sources, handlers, workers } = await app.spark.status();
    expect(await app.spark.sources()).toEqual(sources);
    expect(await app.spark.handlers()).toEqual(handlers);
    expect(await app.spark.workers()).toEqual(workers);
    expect(handlers.find(({ handler }) => handler === 'mails')).toMatchObject({ discarded: 1 });
  });

  it.each([
    ['a misspelled part', () => app.spark.events({ gruop: 'seat' } as never), /gruop/],
    ['undefined', () => app.spark.events({ key: undefined }), /events \{ key \} .*leave it out/],
    ['a number as a key', () => app.spark.events({ key: 7 } as never), /events \{ key \} .*text/],
    ['no key at all', () => app.spark.events({ key: [] }), /a list of texts/],
    ['an invalid Date', () => app.spark.events({ from: new Date(Number.NaN) }), /events \{ from \} .*a Date/],
    ['an unknown state', () => app.spark.deliveries({ state: 'done' } as never), /'held', 'available'/],
    ['a state of events', () => app.spark.events({ state: 'held' } as never), /state/],
    ['too many', () => app.spark.events({}, { limit: 1_001 }), /1 to 1000/],
    ['none', () => app.spark.events({}, { limit: 0 }), /1 to 1000/],
    ['no page before', () => app.spark.deliveries({}, { after: "1' OR 1" }), /next of the page before/],
    ['the page of another list', () => app.spark.deliveries({}, { after: '7' }), /next of the page before/],
  ])('%s is refused, and says why', async (_, list, message) => {
    await expect(list()).rejects.toThrow(InvalidOptionsError);
    await expect(list()).rejects.toThrow(message);
  });

  it('an id without its entity is refused, and an entity that nobody knows', async () => {
    await expect(app.spark.events({ id: 1 })).rejects.toThrow(/needs the entity of the id/);
    await expect(app.spark.events({ entity: Order, id: [1, 2] })).rejects.toThrow(TypeError);
    await expect(app.spark.rechecks({ entity: Stranger })).rejects.toThrow(UnknownEntityError);
  });
});
