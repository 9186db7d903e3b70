import { Injectable } from '@nestjs/common';
import { GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Effect {
  @PrimaryGeneratedColumn() id: number;
  @Column() key: string;
}

const calls: string[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/^order/, { name: 'later', priority: 5 })
  later() {
    calls.push('later');
  }

  @GroupHandler(/^order/, { name: 'sooner', priority: -5 })
  sooner() {
    calls.push('sooner');
  }

  @GroupHandler(/^crowd/, { name: 'crowd', priority: 5 })
  crowd() {
    calls.push('crowd');
  }

  @GroupHandler(/^crowd_urgent/, { name: 'urgent', concurrency: 1 })
  urgent() {
    calls.push('urgent');
  }

  @GroupHandler(/^equal/, { name: 'anywhere' })
  anywhere() {
    calls.push('anywhere');
  }

  @GroupHandler(/^equal/, { name: 'inside', transactional: true })
  async inside({ key }: SparkEvent, { manager }: HandlerScope) {
    calls.push('inside');
    await manager.save(Effect, { key });
  }
}

describe.each(databases)('the more urgent comes first, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    calls.length = 0;
    db = await database.create();
  });
  // No poll comes between: deliveries are claimed when all are there.
  const start = async (concurrency: number) => {
    const spark = { worker: { concurrency, pollInterval: '1h' } };
    app = await startApp({ database: db, entities: [Effect], providers: [Handlers], spark });
  };
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const called = async (count: number) => {
    for (let i = 0; i < 500 && calls.length < count; i++) await delay(10);
    expect(calls).toHaveLength(count);
  };
  const several = (group: string, count: number) => Array.from({ length: count }, (_, i) => sparkEvent(group, i));

  it('in the order of priorities', async () => {
    // Of several places the last one is another handler's.
    await start(1);
    await app.spark.emit(several('order', 3));
    await called(6);
    const rows = await app.dataSource.query(`SELECT handler, priority FROM spark_delivery`);
    expect(rows.every((row: any) => Number(row.priority) === (row.handler === 'later' ? 5 : -5))).toBe(true);
    expect(calls).toEqual(['sooner', 'sooner', 'sooner', 'later', 'later', 'later']);
  });

  it('also where the places of its handler are limited', async () => {
    await start(2);
    await app.spark.emit([...several('crowd', 50), sparkEvent('crowd_urgent', 1)]);
    await called(52);
    expect(calls.indexOf('urgent')).toBeLessThan(2);
  });

  it('and among equals nobody waits until the others have nothing left to do', async () => {
    await start(2);
    await app.spark.emit(several('equal', 50));
    await called(100);
    const half = calls.slice(0, 50);
    // Who starves is not among them at all; how they share depends on how long each takes.
    expect(half.filter((call) => call === 'inside').length).toBeGreaterThan(3);
    expect(half.filter((call) => call === 'anywhere').length).toBeGreaterThan(3);
  });
});
