import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent, UnknownEntityError } from 'nestjs-spark';
import { ChildEntity, Column, Entity, PrimaryColumn, PrimaryGeneratedColumn, TableInheritance } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
class Task {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@ChildEntity()
class Chore extends Task {}

@Entity()
class Seat {
  @PrimaryColumn({ length: 10 }) row: string;
  @PrimaryColumn() number: number;
}

@Entity()
class Stranger {
  @PrimaryGeneratedColumn() id: number;
}

const due = new Date(Date.now() + 7 * 86_400_000);

@Injectable()
class Events {
  handled: string[] = [];

  @EventSource(Task) *tasks({ id }: Task) {
    yield sparkEvent('task', id);
    yield sparkEvent('task_due', id, undefined, { at: due });
  }
  @EventSource(Chore) *chores({ id }: Chore) {
    yield sparkEvent('chore', id);
  }
  @EventSource(Seat) *seats({ row, number }: Seat) {
    yield sparkEvent('seat', [row, number]);
  }
  @GroupHandler(/./, { name: 'all' }) handle({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

describe.each(databases)('what is forgotten is news again, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let events: Events;

  beforeAll(async () => {
    db = await database.create();
    const entities = [Task, Chore, Seat];
    app = await startApp({ database: db, entities, providers: [Events], spark: { worker: false } });
    events = app.app.get(Events);
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const count = async (table: string) =>
    Number((await app.dataSource.query(`SELECT COUNT(*) AS n FROM ${table}`))[0].n);
  const left = async () => [await count('spark_event'), await count('spark_delivery'), await count('spark_recheck')];

  it('its events, deliveries and rechecks go, those of others stay, and its handlers are called once more', async () => {
    const { manager } = app.dataSource;
    const [one, other] = await manager.save(
      [{ title: 'one' }, { title: 'other' }].map((task) => manager.create(Task, task)),
    );
    await app.spark.drain();
    expect(await left()).toEqual([2, 2, 2]);

    await app.spark.forget(Task, one!.id);
    expect(await left()).toEqual([1, 1, 1]);

    events.handled = [];
    await app.spark.sweep();
    await app.spark.drain();
    expect(events.handled).toEqual([`task_${one!.id}`]);
    expect(await left()).toEqual([2, 2, 2]);
    await app.spark.forget(Task, one!.id);
    await app.spark.forget(Task, other!.id);
    expect(await left()).toEqual([0, 0, 0]);
  });

  it('by a child of its table or by the parent, and by composite ids as a list or an object', async () => {
    const { manager } = app.dataSource;
    for (const entity of [Task, Chore]) {
      const { id } = await manager.save(Chore, { title: 'sweep' });
      await app.spark.drain();
      expect((await left()).slice(0, 2)).toEqual([2, 2]);
      await app.spark.forget(entity, id);
      expect(await left()).toEqual([0, 0, 0]);
    }
    for (const id of [['a', 1], { number: 1, row: 'a' }]) {
      await manager.save(Seat, { row: 'a', number: 1 });
      await app.spark.sweep({ entity: Seat });
      await app.spark.drain();
      expect((await left()).slice(0, 2)).toEqual([1, 1]);
      await app.spark.forget(Seat, id);
      expect(await left()).toEqual([0, 0, 0]);
    }
  });

  it('what cannot be meant is refused', async () => {
    await expect(app.spark.forget(Stranger, 1)).rejects.toThrow(UnknownEntityError);
    for (const id of ['a', ['a'], ['a', undefined], { row: 'a' }, null])
      await expect(app.spark.forget(Seat, id)).rejects.toThrow(/needs every part of the id of Seat/);
  });

  it('an id that is none is refused, and nobody else is forgotten for it', async () => {
    const { manager } = app.dataSource;
    const initially = await left();
    const tasks = await manager.save([1, 2, 3, 4].map((title) => manager.create(Task, { title: String(title) })));
    const [a, b, c, d] = tasks.map((task) => task.id) as [number, number, number, number];
    await app.spark.drain();
    const before = await left();
    for (const id of [`${a}e1`, `${b}.9`, ` ${c}`, `0x${d}`, '', a + 0.9, Number.NaN, Infinity, 2 ** 53])
      await expect(app.spark.forget(Task, id)).rejects.toThrow(/cannot be an id of Task/);
    expect(await left()).toEqual(before);
    for (const id of [String(a), BigInt(b), c, { id: String(d) }]) await app.spark.forget(Task, id);
    expect(await left()).toEqual(initially);
  });
});
