import { Injectable, type Provider } from '@nestjs/common';
import { EventSource, GroupHandler, snapshot, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, Entity, OneToMany, ManyToOne, PrimaryGeneratedColumn, type Relation } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Cart {
  @PrimaryGeneratedColumn() id: number;
  @Column() isOpen: boolean;
  @OneToMany(() => Line, (line) => line.cart) lines: Relation<Line>[];
}

@Entity()
class Line {
  @PrimaryGeneratedColumn() id: number;
  @ManyToOne(() => Cart, (cart) => cart.lines) cart: Relation<Cart>;
}

const seen: string[] = [];

@Injectable()
class CatchAll {
  @GroupHandler(/./, { name: 'all', maxAttempts: 1 })
  handle({ key, context }: SparkEvent<any>) {
    seen.push(`${key} ${context?.cart?.lines?.length ?? '-'}`);
  }
}

@Injectable()
class Reminders {
  @GroupHandler(/^cart_left/, { name: 'reminders', revalidate: true, maxAttempts: 1 })
  remind({ key }: SparkEvent) {
    seen.push(key);
  }
}

@Injectable()
class CartEvents {
  @EventSource(Cart, { relations: { lines: true }, name: 'carts' })
  *carts(cart: Cart) {
    if (cart.isOpen) yield sparkEvent('cart_left', cart.id, { cart });
  }
}

describe.each(databases)('what a process does not know it leaves to others, on $name', (database) => {
  let db: TestDatabase;
  const running: TestApp[] = [];

  beforeEach(async () => {
    db = await database.create();
    seen.length = 0;
  });
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (entities: any[], providers: Provider[], spark: object = { worker: false }) => {
    const app = await startApp({ database: db, entities, providers, spark });
    running.push(app);
    return app;
  };
  const deliveries = async () => {
    const rows = await running[0]!.dataSource.query('SELECT handler, state, attempt, last_error FROM spark_delivery');
    return rows.map((row: any) => [row.handler, row.state, Number(row.attempt), row.last_error]);
  };
  const opened = (count: number) =>
    vi.waitFor(async () => expect(await deliveries()).toHaveLength(count), { timeout: 20_000, interval: 50 });
  const saveCart = async ({ dataSource: { manager } }: TestApp) => {
    const cart = await manager.save(manager.create(Cart, { isOpen: true }));
    await manager.save(Line, { cart });
    return cart;
  };

  it('an event with an entity that an old process lacks is handled by the new one, uncharged and in time', async () => {
    const next = await start([Cart, Line], [CatchAll, CartEvents]);
    const old = await start([], [CatchAll]);
    const cart = await saveCart(next);
    await next.spark.emit(sparkEvent('kept', 1, { was: snapshot(cart) }));
    await opened(2);
    await old.spark.drain();
    await old.spark.drain();
    expect(seen).toEqual([]);
    expect(await deliveries()).toEqual([
      ['all', 'available', 0, null],
      ['all', 'available', 0, null],
    ]);
    expect((await old.spark.status()).counts.leftToOthers).toBeGreaterThanOrEqual(2);
    expect(
      old.logs.filter((line) => line.includes('they need the entity Cart, which this process does not have')),
    ).toHaveLength(1);

    await next.spark.drain();
    expect([...seen].sort()).toEqual([`cart_left_${cart.id} 1`, 'kept_1 -']);
    expect(await deliveries()).toEqual([
      ['all', 'completed', 1, null],
      ['all', 'completed', 1, null],
    ]);
  });

  it('a process that lacks the source neither hands out its entities without relations nor takes the event for wanted', async () => {
    const next = await start([Cart, Line], [CatchAll, Reminders, CartEvents]);
    const old = await start([Cart, Line], [CatchAll, Reminders]);
    const cart = await saveCart(next);
    await opened(2);
    await old.spark.drain();
    expect(seen).toEqual([]);
    await next.dataSource.manager.update(Cart, cart.id, { isOpen: false });
    await next.spark.drain();
    expect(seen).toEqual([`cart_left_${cart.id} 1`]);
    expect((await deliveries()).map(([handler, state]: string[]) => `${handler} ${state}`).sort()).toEqual([
      'all completed',
      'reminders skipped',
    ]);
  });

  it('these are not claimed again and again, and others get their deliveries while it has many of these', async () => {
    const next = await start([Cart, Line], [CartEvents]);
    const old = await start([], [CatchAll], { worker: { pollInterval: '10ms' } });
    const { manager } = next.dataSource;
    await manager.save(Array.from({ length: 1_050 }, () => manager.create(Cart, { isOpen: true })));
    await next.spark.drain();
    await old.spark.emit(Array.from({ length: 5 }, (_, i) => sparkEvent('plain', i)));
    await old.spark.drain();
    expect([...seen].sort()).toEqual(Array.from({ length: 5 }, (_, i) => `plain_${i} -`));
    const before = (await old.spark.status()).counts.leftToOthers;
    expect(before).toBeGreaterThanOrEqual(1_050);
    for (let i = 0; i < 20; i++) await old.spark.drain();
    expect((await old.spark.status()).counts.leftToOthers).toBe(before);
    // Those that it cannot remember wait for a while; others could have had the first ones at once.
    const rows = await next.dataSource.query(
      `SELECT COUNT(*) AS n FROM spark_delivery WHERE state = 'available' AND attempt = 0 AND due_at > ${Date.now() + 10_000}`,
    );
    expect(Number(rows[0].n)).toBe(50);
  });
});
