import { Injectable, type Provider } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Cart {
  @PrimaryGeneratedColumn() id: number;
  @Column() isOpen: boolean;
}

const seen: string[] = [];

@Injectable()
class Mails {
  @GroupHandler(/^order/, { name: 'mails' })
  send({ key }: SparkEvent) {
    seen.push(`mails ${key}`);
  }
}

/** The next version of it, for more groups. */
@Injectable()
class WiderMails {
  @GroupHandler(/^(order|refund)/, { name: 'mails' })
  send({ key }: SparkEvent) {
    seen.push(`wider ${key}`);
  }
}

/** The one after that, under another name. */
@Injectable()
class Letters {
  @GroupHandler(/^(order|refund)/, { name: 'letters', aliases: ['mails'] })
  send({ key }: SparkEvent) {
    seen.push(`letters ${key}`);
  }
}

@Injectable()
class Carts {
  @EventSource(Cart, { name: 'carts', live: false })
  *carts(cart: Cart) {
    if (cart.isOpen) yield sparkEvent('order_left', cart.id, { cart });
  }
}

@Injectable()
class RenamedCarts {
  @EventSource(Cart, { name: 'baskets', aliases: ['carts'], live: false })
  *carts(cart: Cart) {
    if (cart.isOpen) yield sparkEvent('order_left', cart.id, { cart });
  }
}

@Injectable()
class Reminders {
  @GroupHandler(/^order_left/, { name: 'reminders', revalidate: true })
  remind({ key, context }: SparkEvent<any>) {
    seen.push(`${key} ${context.cart.isOpen}`);
  }
}

describe.each(databases)('versions live side by side, on $name', (database) => {
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

  const start = async (...providers: Provider[]) => {
    const app = await startApp({ database: db, entities: [Cart], providers, spark: { worker: false } });
    running.push(app);
    return app;
  };
  const stop = async (app: TestApp) => {
    running.splice(running.indexOf(app), 1);
    await app.close();
  };
  const drained = async (app: TestApp) => {
    seen.length = 0;
    await app.spark.drain();
    return [...seen].sort();
  };
  const ago = (minutes: number, where: string) =>
    running[0]!.dataSource.query(
      `UPDATE spark_handler SET last_seen_at = last_seen_at - ${minutes * 60_000} WHERE ${where}`,
    );

  it('the old version boots last, and what only the new one handles is opened all the same, by whichever enters it', async () => {
    const next = await start(WiderMails);
    const old = await start(Mails);
    await next.spark.emit([sparkEvent('order', 1), sparkEvent('refund', 1)]);
    await old.spark.emit([sparkEvent('order', 2), sparkEvent('refund', 2)]);
    const bystander = await start();
    await bystander.spark.emit(sparkEvent('refund', 3));
    expect(await drained(next)).toEqual(
      ['order_1', 'order_2', 'refund_1', 'refund_2', 'refund_3'].map((key) => `wider ${key}`),
    );
  });

  it('a version that no process has had for minutes gets nothing any more, and is there again when it boots', async () => {
    const next = await start(Mails);
    await stop(await start(WiderMails));
    await ago(10, `pattern LIKE '%refund%'`);
    const bystander = await start();
    await bystander.spark.emit([sparkEvent('order', 1), sparkEvent('refund', 1)]);
    expect(await drained(next)).toEqual(['mails order_1']);
    await start(WiderMails);
    await bystander.spark.emit(sparkEvent('refund', 2));
    expect(await drained(next)).toEqual(['mails refund_2']);
  });

  it('a renamed handler takes over what waits under its old name, and each event is opened once while both are there', async () => {
    const old = await start(Mails);
    await old.spark.emit(sparkEvent('order', 1));
    const next = await start(Letters);
    const bystander = await start();
    await old.spark.emit(sparkEvent('order', 2));
    await next.spark.emit(sparkEvent('order', 3));
    await bystander.spark.emit(sparkEvent('order', 4));
    const rows = await bystander.dataSource.query('SELECT COUNT(*) AS n FROM spark_delivery');
    expect(Number(rows[0].n)).toBe(4);
    const all = [...(await drained(old)), ...(await drained(next))];
    expect(all.map((line) => line.split(' ')[1]).sort()).toEqual(['order_1', 'order_2', 'order_3', 'order_4']);
    // Rolled back after days: nothing is sent again.
    await stop(next);
    await ago(3 * 24 * 60, `name = 'letters'`);
    await old.spark.emit(sparkEvent('order', 5));
    expect(await drained(old)).toEqual(['mails order_5']);
    expect(await old.spark.replay({ handler: 'mails' })).toBe(0);
  });

  it('a new name takes all that waits, and what was delivered under the old one is not replayed', async () => {
    const old = await start(Mails);
    await old.spark.emit([sparkEvent('order', 1), sparkEvent('order', 2)]);
    await old.dataSource.query(
      `UPDATE spark_delivery SET state = 'completed' WHERE id = (SELECT x FROM (SELECT MIN(id) AS x FROM spark_delivery) y)`,
    );
    await stop(old);
    const next = await start(Letters);
    expect(await drained(next)).toEqual(['letters order_2']);
    expect(await next.spark.replay({ handler: 'letters' })).toBe(0);
    await ago(10, `name = 'mails'`);
    expect(await next.spark.orphans()).toEqual([]);
  });

  it('deliveries of a handler that no process has had for minutes are shown, with since when', async () => {
    const old = await start(Mails);
    const bystander = await start();
    await old.spark.emit(sparkEvent('order', 1));
    await stop(old);
    expect(await bystander.spark.orphans()).toEqual([]);
    await ago(10, `name = 'mails'`);
    expect(await bystander.spark.orphans()).toEqual([
      { handler: 'mails', deliveries: 1, since: expect.any(Date), lastSeen: expect.any(Date) },
    ]);
  });

  it('a renamed source goes on: what waits has its relations and is asked anew, sweeps hold nothing back as history', async () => {
    const old = await start(Carts, Reminders);
    const { manager } = old.dataSource;
    const carts = await manager.save([1, 2].map(() => manager.create(Cart, { isOpen: true })));
    await old.spark.sweep();
    await stop(old);
    const next = await start(RenamedCarts, Reminders);
    await next.dataSource.manager.update(Cart, carts[0]!.id, { isOpen: false });
    expect(await drained(next)).toEqual([`order_left_${carts[1]!.id} true`]);
    const later = await next.dataSource.manager.save(Cart, { isOpen: true });
    const { spark } = next;
    await spark.sweep();
    expect(await drained(next)).toEqual([`order_left_${later.id} true`]);
    expect((await spark.status()).sources.find(({ source }) => source === 'baskets')).toMatchObject({
      foundBySweep: 3,
    });
  });

  it('a pattern that this process cannot read is one handler’s trouble, logged once', async () => {
    const app = await start(Mails);
    await app.dataSource.query(
      `INSERT INTO spark_handler (name, version, pattern, priority, revision, first_seen_at, last_seen_at)
       VALUES ('future', 'x', '/(?<=a)[/v-new', 0, 1, 0, ${Date.now()})`,
    );
    const next = await start(WiderMails);
    await app.spark.emit([sparkEvent('order', 1), sparkEvent('refund', 1)]);
    expect(await drained(next)).toEqual(['wider order_1', 'wider refund_1']);
    // One line of each process: they share a logger.
    expect(next.logs.filter((line) => line.includes('cannot read the pattern'))).toHaveLength(2);
    for (const { spark } of [app, next]) expect((await spark.status()).counts.unusablePatterns).toBeGreaterThan(0);
  });

  it('a pattern that takes for ever holds up neither boot nor saves, and is logged', async () => {
    const app = await start();
    await app.dataSource.query(
      `INSERT INTO spark_handler (name, version, pattern, priority, revision, first_seen_at, last_seen_at)
       VALUES ('slow', 'x', '/^(a+)+$/', 0, 1, 0, ${Date.now()})`,
    );
    const next = await start(Mails);
    const group = `${'a'.repeat(60)}!`;
    const began = performance.now();
    await next.spark.emit([sparkEvent(group, 1), sparkEvent('order', 1)]);
    for (let i = 2; i < 10; i++) await next.spark.emit(sparkEvent(group, i));
    // Backtracking would take years.
    expect(performance.now() - began).toBeLessThan(20_000);
    expect(next.logs.filter((line) => line.includes('takes too long'))).toHaveLength(1);
    expect(await drained(next)).toEqual(['mails order_1']);
  });

  it('events that no handler gets are counted, and logged once for each group', async () => {
    const app = await start();
    await app.spark.emit([1, 2, 3].map((id) => sparkEvent('order', id)));
    await app.spark.emit(sparkEvent('refund', 1));
    expect((await app.spark.status()).counts.eventsWithoutHandler).toBe(4);
    const lines = app.logs.filter((line) => line.includes('no handler that is registered matches its group'));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain('SparkService.replay({ handler })');
  });
});

describe('a process with a pattern that takes for ever', () => {
  it('says so at boot', async () => {
    @Injectable()
    class Slow {
      @GroupHandler(/^(\w+_?)+$/, { name: 'slow' })
      handle() {}
    }
    const db = await databases[0]!.create();
    const app = await startApp({ database: db, entities: [], providers: [Slow, Mails] });
    expect(app.logs.filter((line) => line.startsWith('warn') && line.includes('takes very long'))).toHaveLength(1);
    await app.close();
    await db.drop();
  });
});
