import { Injectable } from '@nestjs/common';
import { type DeliveryReport, EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

// Their names say in which order they are read, where they are read one after the other.
@Entity()
class ABill {
  @PrimaryColumn() id: number;
}

@Entity()
class BGift {
  @PrimaryColumn() id: number;
  @Column({ default: 0 }) round: number;
}

@Injectable()
class Sources {
  @EventSource(ABill, { live: false }) *bills({ id }: ABill) {
    yield sparkEvent('bill_found', id);
  }

  @EventSource(BGift, { live: false }) *gifts({ id, round }: BGift) {
    yield sparkEvent('gift_found', id, undefined, { occurrence: String(round) });
  }
}

let seen: string[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/^(bill|gift|plain|both)$/, { name: 'reads', maxAttempts: 1 })
  read({ key }: SparkEvent) {
    seen.push(key);
  }
}

// SQLite has one lock for all of its tables.
const servers = databases.filter(({ name }) => name !== 'SQLite');

describe.each(servers)('a locked table holds up only what needs it, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let reports: DeliveryReport[] = [];
  const bills = [1, 2, 3].map((id) => Object.assign(new ABill(), { id }));
  const gifts = [1, 2, 3].map((id) => Object.assign(new BGift(), { id }));

  const start = async (statementTimeout: '1s' | '10m', worker: false | undefined) => {
    app = await startApp({
      database: db,
      entities: [ABill, BGift],
      providers: [Sources, Handlers],
      spark: { statementTimeout, worker },
    });
    app.spark.deliveries$.subscribe((report) => reports.push(report));
    await app.dataSource.manager.save([...bills, ...gifts]);
  };
  beforeEach(async () => {
    db = await database.create();
    seen = [];
    reports = [];
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  /** Does work while somebody has the table of bills for himself. */
  const whileLocked = async (work: () => Promise<void>) => {
    const isPostgres = database.name === 'PostgreSQL';
    const runner = app.dataSource.createQueryRunner();
    try {
      if (isPostgres) await runner.startTransaction();
      await runner.query(isPostgres ? 'LOCK TABLE a_bill IN ACCESS EXCLUSIVE MODE' : 'LOCK TABLES a_bill WRITE');
      await work();
    } finally {
      if (isPostgres) await runner.rollbackTransaction();
      else await runner.query('UNLOCK TABLES');
      await runner.release();
    }
  };
  const until = (check: () => void) => vi.waitFor(check, { timeout: 25_000, interval: 50 });
  const emitAll = () =>
    app.spark.emit([
      ...bills.map((bill) => sparkEvent('bill', bill.id, { bill })),
      ...gifts.map((gift) => sparkEvent('gift', gift.id, { gift })),
      sparkEvent('both', 1, { bill: bills[0], gift: gifts[0] }),
      sparkEvent('plain', 1, { text: 'no entity' }),
    ]);
  const free = ['gift_1', 'gift_2', 'gift_3', 'plain_1'];
  const all = ['bill_1', 'bill_2', 'bill_3', 'both_1', ...free];

  it('deliveries whose contexts need other tables, or none, are handled meanwhile', async () => {
    // They are claimed together when all of them are there.
    await start('10m', undefined);
    await whileLocked(async () => {
      await emitAll();
      await until(() => expect(seen.toSorted()).toEqual(free));
    });
    await until(() =>
      expect(reports.map(({ state, attempt }) => [state, attempt])).toEqual(all.map(() => ['completed', 1])),
    );
    expect(seen.toSorted()).toEqual(all);
  });

  it('what needs it waits for longer than a statement may take, and is not charged for that', async () => {
    await start('1s', false);
    await emitAll();
    await whileLocked(async () => {
      await app.spark.drain();
      expect(seen.toSorted()).toEqual(free);
    });
    const waiting = app.logs.filter((line) => line.includes('contexts cannot be read now'));
    expect(waiting).toEqual([expect.stringMatching(/^warn 4 deliveries wait, .*did not answer/)]);
    await app.dataSource.query('UPDATE spark_delivery SET due_at = 0');
    await app.spark.drain();
    expect(seen.toSorted()).toEqual(all);
    expect(reports.map(({ state, attempt }) => [state, attempt])).toEqual(all.map(() => ['completed', 1]));
  });

  it('a sweep of all finds what is in other tables, and what is in it the next time', async () => {
    await start('1s', false);
    await whileLocked(async () => {
      expect((await app.spark.sweep()).entered).toBe(3);
    });
    expect(await app.spark.sweep()).toMatchObject({ entered: 3, failed: 0 });
  });

  it('sweeps, plan and explain of another entity do not wait for it', async () => {
    await start('10m', false);
    await whileLocked(async () => {
      expect(await app.spark.sweep({ entity: BGift })).toMatchObject({ entered: 3 });
      await app.dataSource.query('UPDATE b_gift SET round = 1');
      const planned: unknown[] = [];
      for await (const one of app.spark.plan({ entity: BGift })) planned.push(one);
      expect(planned).toHaveLength(3);
      expect((await app.spark.explain(BGift, 1)).words.join('\n')).toContain('gift_found_1');
    });
  });
});
