import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

describe.each(databases)('a source gets the values of its row, on $name', (database) => {
  /** Kinds of columns whose values drivers give as objects, or as text that is not theirs. */
  @Entity()
  class Reading {
    @PrimaryGeneratedColumn() id: number;
    @Column({ precision: 3 }) at: Date;
    @Column({ type: 'json' }) values: unknown;
    @Column({ type: 'json' }) list: unknown[];
    @Column({ type: 'simple-json' }) text: unknown;
    @Column({ type: database.name === 'PostgreSQL' ? 'bytea' : 'blob' }) bytes: Buffer;
    @Column({ type: 'bigint' }) large: string;
    @Column({ type: 'decimal', precision: 10, scale: 2 }) price: string;
    @Column() truth: boolean;
    @Column({ type: 'date' }) day: string;
  }

  const given: Reading[] = [];

  @Injectable()
  class Events {
    @EventSource(Reading)
    *reading(reading: Reading) {
      given.push(reading);
      yield sparkEvent('reading', reading.id);
    }
  }

  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [Reading], providers: [Events], spark: { worker: false } });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const reading = () =>
    Object.assign(new Reading(), {
      at: new Date('2026-05-01T10:00:00.123Z'),
      values: { deep: { list: [1, 'two', null] } },
      list: [1, { a: 2 }],
      text: { a: 1 },
      bytes: Buffer.from([0, 1, 254, 255]),
      large: '9007199254740993',
      price: '12.50',
      truth: true,
      day: '2026-05-01',
    });

  it.each([
    ['when it is saved', 1],
    ['when many are saved at once', 3],
  ])('dates with their milliseconds, JSON, bytes and large numbers, %s', async (_, count) => {
    const { manager } = app.dataSource;
    given.length = 0;
    const saved = await manager.save(Array.from({ length: count }, reading));
    // Inserted, and changed: these are read in different ways.
    for (const one of saved) one.truth = false;
    await manager.save(saved);
    expect(given).toHaveLength(2 * count);
    const stored = await manager.find(Reading, { order: { id: 'ASC' } });
    const rows = stored.filter(({ id }) => saved.some((one) => one.id === id));
    expect(given.slice(count).toSorted((a, b) => a.id - b.id)).toEqual(rows);
    const inserted = given.slice(0, count).toSorted((a, b) => a.id - b.id);
    expect(inserted.map((one) => Object.assign(one, { truth: false }))).toEqual(rows);
    expect(given[0]!.at).toEqual(new Date('2026-05-01T10:00:00.123Z'));
    expect(given[0]!.values).toEqual({ deep: { list: [1, 'two', null] } });
    expect(given[0]!.list).toEqual([1, { a: 2 }]);
    expect(given[0]!.bytes).toEqual(Buffer.from([0, 1, 254, 255]));
  });
});
