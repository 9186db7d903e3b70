import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, LostStatementError, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Injectable()
class Items {
  readonly handled: string[] = [];

  @EventSource(Item)
  *events({ id }: Item) {
    yield sparkEvent('created', id);
  }

  @GroupHandler(/^created/)
  handle({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

describe.each(databases.filter(({ name }) => name === 'PostgreSQL'))('on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp | undefined;

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    await app?.close();
    await db.drop();
  });

  it.each([
    {
      prepare: undefined,
      names: ['spark-claim', 'spark-complete', 'spark-enter-new-1-1', 'spark-enter-new-n11n1111111-n1111'],
    },
    { prepare: false, names: [] },
  ])('statements that run often are prepared, with prepare: $prepare', async ({ prepare, names }) => {
    app = await startApp({
      database: db,
      entities: [Item],
      providers: [Items],
      spark: { postgres: { prepare } },
    });
    await app.dataSource.manager.save(Item, { title: 'first' });
    await app.dataSource.manager.save(
      Array.from({ length: 20 }, () => Object.assign(new Item(), { title: 'one of many' })),
    );
    await app.spark.drain();
    const keys = Array.from({ length: 21 }, (_, i) => `created_${i + 1}`);
    expect(app.app.get(Items).handled.toSorted()).toEqual(keys.sort());
    // A connection that the worker has at that moment is not asked.
    await vi.waitFor(async () => expect(await preparedBy(app!)).toEqual(names));
  });

  it('what to do is said where a connection has lost them', async () => {
    // A worker would have one of the connections when they are asked.
    app = await startApp({ database: db, entities: [Item], providers: [Items], spark: { worker: false } });
    const { manager } = app.dataSource;
    const saves = () => Promise.allSettled(Array.from({ length: 20 }, () => manager.save(Item, { title: 'an item' })));
    await saves();
    await onEachConnection(app, 'DEALLOCATE ALL');
    const errors = (await saves()).flatMap((save) => (save.status === 'rejected' ? [save.reason] : []));
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) expect(error).toBeInstanceOf(LostStatementError);
    expect(String(errors[0])).toContain('postgres: { prepare: false }');
    expect(await manager.count(Item)).toBe(40 - errors.length);
  });
});

/** The names of the prepared statements of all connections of the pool, whichever time these were planned. */
async function preparedBy(app: TestApp): Promise<string[]> {
  const names = await onEachConnection<{ name: string }>(app, 'SELECT name FROM pg_prepared_statements');
  return [...new Set(names.map(({ name }) => name.replace(/(claim|complete)-\d+$/, '$1')))].sort();
}

async function onEachConnection<R>({ dataSource }: TestApp, statement: string): Promise<R[]> {
  const runners = Array.from({ length: 20 }, () => dataSource.createQueryRunner());
  const rows = await Promise.all(runners.map((runner) => runner.query(statement) as Promise<R[]>));
  await Promise.all(runners.map((runner) => runner.release()));
  return rows.flat();
}
