import { GroupHandler, type SparkEvent } from 'nestjs-spark';
import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { databases } from './support/databases.js';
import { FollowedPage } from './support/followed-page.js';

@Injectable()
class Mails {
  @GroupHandler(/./, { name: 'mails' })
  send({ key }: SparkEvent) {
    sent.push(key);
  }
}

const sent: string[] = [];

describe.each(databases)('the documents, followed to the letter on $name', (database) => {
  it('repeat events as they say', async () => {
    const db = await database.create();
    const page = await FollowedPage.open('repeating-events', { database: db, now: '2026-06-01T00:00:00Z' });
    try {
      await page.follow();
    } finally {
      await page.close();
      await db.drop();
    }
  }, 120_000);

  it('come to a table with data as they say', async () => {
    const db = await database.create();
    const spark = { activation: { limit: 2 } };
    const page = await FollowedPage.open('existing-tables', {
      database: db,
      now: '2026-06-01T00:00:00Z',
      spark,
      providers: [Mails],
    });
    const { Order } = page.application;
    const mailed = async () => {
      await page.app.spark.drain();
      return sent.splice(0).sort();
    };
    try {
      const [events, reminders, held, baseline] = page.examples;
      const orders = Array.from({ length: 9 }, (_, i) => ({ isPaid: i < 2 }));
      await page.app.dataSource.manager.save(Order, orders);
      await page.run(events!);
      await page.app.dataSource.manager.save(Order, { id: 7, isPaid: true });
      expect(await mailed()).toEqual(['order_paid_7']);
      await page.app.spark.sweep();
      expect(await mailed()).toEqual([]);
      expect(await page.app.spark.sources()).toMatchObject([{ adopted: true }]);

      await page.run(reminders!);
      await page.app.spark.sweep();
      expect(await mailed()).toEqual([]);
      const { HeldDeliveries } = await page.run(held!);
      expect(await page.printedBy(() => page.app.app.get(HeldDeliveries).decide())).toEqual(page.shownIn(held!));
      expect(await mailed()).toEqual([3, 4, 5, 6, 8, 9].map((id) => `order_reminded_${id}`));

      // Another program writes.
      const [table, column] = ['order', 'isPaid'].map((name) => page.app.dataSource.driver.escape(name));
      await page.app.dataSource.query(`INSERT INTO ${table} (${column}) VALUES (TRUE)`);
      const { Baselines } = await page.run(baseline!);
      expect(await page.printedBy(() => page.app.app.get(Baselines).run())).toEqual([
        '3 events are entered, and no handler was called.',
      ]);
      expect(await mailed()).toEqual([]);
    } finally {
      await page.close();
      await db.drop();
    }
  }, 120_000);
});
