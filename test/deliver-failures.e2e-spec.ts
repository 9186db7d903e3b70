import { Injectable } from '@nestjs/common';
import {
  type DeliveryReport,
  EventSource,
  GroupHandler,
  type HandlerScope,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity('orders')
class Order {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Injectable()
class Events {
  @EventSource(Order)
  *orders({ id, title }: Order) {
    yield sparkEvent('order_made', id);
    if (title === 'poison') throw new Error('this order cannot be read');
  }

  @EventSource(Order)
  *others({ id }: Order) {
    yield sparkEvent('order_other', id);
  }
}

@Injectable()
class Handlers {
  readonly good: string[] = [];
  readonly attempts: number[] = [];
  running = 0;
  most = 0;

  @GroupHandler(/^order/, { name: 'good' })
  async succeed({ key }: SparkEvent) {
    this.most = Math.max(this.most, ++this.running);
    await delay(5);
    this.running--;
    this.good.push(key);
  }

  @GroupHandler('^order_made$', { name: 'bad', maxAttempts: 3, backoff: { base: 10, max: 20 } })
  fail(_event: SparkEvent, { attempt }: HandlerScope) {
    this.attempts.push(attempt);
    throw new Error('out of paper');
  }

  @GroupHandler(/^order_made$/, { name: 'recovers', backoff: () => 10 })
  recover(_event: SparkEvent, { attempt }: HandlerScope) {
    if (attempt < 3) throw new Error('not yet');
  }
}

describe.each(databases)('a failing handler or source harms nobody else, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let handlers: Handlers;
  let reports: DeliveryReport[];

  beforeAll(async () => {
    db = await database.create();
    const spark = { worker: { concurrency: 3, pollInterval: '20ms' } };
    app = await startApp({ database: db, entities: [Order], providers: [Events, Handlers], spark });
    handlers = app.app.get(Handlers);
    app.spark.deliveries$.subscribe((report) => reports.push(report));
  });
  beforeEach(() => {
    reports = [];
    handlers.good.length = handlers.attempts.length = 0;
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const settled = async (count: number) => {
    for (let i = 0; i < 500 && reports.filter(({ state }) => state !== 'available').length < count; i++)
      await delay(10);
    return Object.fromEntries(reports.map(({ handler, key, state }) => [`${handler} ${key}`, state]));
  };

  it('a handler that fails is tried again and in the end discarded; the others complete', async () => {
    const { id } = await app.dataSource.manager.save(Order, { title: 'x' });
    expect(await settled(4)).toEqual({
      [`good order_made_${id}`]: 'completed',
      [`good order_other_${id}`]: 'completed',
      [`bad order_made_${id}`]: 'discarded',
      [`recovers order_made_${id}`]: 'completed',
    });
    expect(handlers.attempts).toEqual([1, 2, 3]);
    expect([...handlers.good].sort()).toEqual([`order_made_${id}`, `order_other_${id}`]);
    const rows = await app.dataSource.query(
      `SELECT state, attempt, last_error FROM spark_delivery WHERE handler = 'bad'`,
    );
    expect(rows).toMatchObject([{ state: 'discarded', attempt: 3 }]);
    expect(rows[0].last_error).toContain('out of paper');
  });

  it('no more handlers run at once than the process may', async () => {
    await app.dataSource.manager.save(
      Array.from({ length: 30 }, () => app.dataSource.manager.create(Order, { title: 'x' })),
    );
    await settled(120);
    expect(handlers.good).toHaveLength(60);
    expect(handlers.most).toBeGreaterThan(1);
    expect(handlers.most).toBeLessThanOrEqual(3);
  });

  it('a source that throws leaves the save, other sources and other entities alone, and is rechecked', async () => {
    const { manager } = app.dataSource;
    const [poison, fine] = await manager.save([
      manager.create(Order, { title: 'poison' }),
      manager.create(Order, { title: 'fine' }),
    ]);
    expect(await manager.countBy(Order, { id: poison!.id })).toBe(1);
    // Those of other tests may still be under way.
    const delivered = [`order_other_${poison!.id}`, `order_made_${fine!.id}`, `order_other_${fine!.id}`];
    const keys = () => reports.map(({ key }) => key);
    await vi.waitFor(() => expect(keys()).toEqual(expect.arrayContaining(delivered)), 10_000);
    expect(keys()).not.toContain(`order_made_${poison!.id}`);
    expect(app.logs.join('\n')).toContain(`Events.orders failed for Order ${poison!.id}, attempt 1`);
    expect((await app.spark.sweep()).failed).toBe(1);
    // The reason is gone, but nobody writes through TypeORM: its recheck finds it.
    await manager.query(`UPDATE orders SET title = 'cured' WHERE id = ${poison!.id}`);
    for (let i = 0; i < 400 && !reports.some(({ key }) => key === `order_made_${poison!.id}`); i++) await delay(10);
    expect(reports.map(({ key }) => key)).toContain(`order_made_${poison!.id}`);
  });
});
