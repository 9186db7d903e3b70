import { Injectable, type Type } from '@nestjs/common';
import { EventSource, GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, DataSource, Entity, type EntityManager, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { HOUR } from './support/set-clock.js';

@Entity()
class Step {
  @PrimaryColumn() id: number;
  @Column() n: number;
}

// A key that databases and the code write differently as JSON.
const TENANT = 'it\'s "odd" \u001f';

@Entity()
class Leg {
  @PrimaryColumn({ length: 20 }) tenant: string;
  @PrimaryColumn() id: number;
  @Column() n: number;
}

@Entity()
class Task {
  @PrimaryColumn() id: number;
  /** Epoch ms. */
  @Column({ length: 20 }) due: string;
}

const MINUTE = 60_000;

const next = ({ key }: SparkEvent) => Number(key.slice('step_'.length)) + 1;
const save = (manager: EntityManager, event: SparkEvent) => manager.save(Step, { id: 1, n: next(event) });

@Injectable()
class OwnRow {
  @EventSource(Step)
  *steps({ n }: Step) {
    yield sparkEvent('step', n);
  }
}

@Injectable()
class Deferred {
  @EventSource(Step)
  async steps({ n }: Step) {
    return [sparkEvent('step', n)];
  }
}

@Injectable()
class Saves {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/^step$/, { name: 'saves' })
  go(event: SparkEvent) {
    return save(this.dataSource.manager, event);
  }
}

@Injectable()
class Updates {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/^step$/, { name: 'updates' })
  go(event: SparkEvent) {
    return this.dataSource.manager.update(Step, { id: 1 }, { n: next(event) });
  }
}

@Injectable()
class Transactional {
  @GroupHandler(/^step$/, { name: 'transactional', transactional: true })
  go(event: SparkEvent, { manager }: HandlerScope) {
    return save(manager, event);
  }
}

@Injectable()
class Legs {
  constructor(private readonly dataSource: DataSource) {}

  @EventSource(Leg)
  *steps({ n }: Leg) {
    yield sparkEvent('step', n);
  }

  @GroupHandler(/^step$/, { name: 'legs' })
  async go(event: SparkEvent) {
    if (next(event) < 40) await this.dataSource.manager.update(Leg, { tenant: TENANT }, { n: next(event) });
  }
}

@Injectable()
class Frequent {
  constructor(private readonly dataSource: DataSource) {}

  @EventSource(Task)
  *due({ id, due }: Task) {
    yield sparkEvent('due', id, undefined, { at: new Date(Number(due)), occurrence: due });
  }

  @GroupHandler(/^due$/, { name: 'moves' })
  async move({ at }: SparkEvent) {
    await this.dataSource.manager.save(Task, { id: 1, due: String(at!.getTime() + 5 * MINUTE) });
  }
}

describe.each(databases)('a chain of events that lead to one another stops at 16, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  it.each<[string, Type, Type]>([
    ['by saves, in their transactions', OwnRow, Saves],
    ['by saves and rechecks', Deferred, Saves],
    ['by writes by criteria', OwnRow, Updates],
    ['in transactional handlers', OwnRow, Transactional],
  ])('%s', async (_how, source, handler) => {
    const spark = { worker: { pollInterval: '1h' } };
    app = await startApp({ database: db, entities: [Step], providers: [source, handler], spark });
    await app.dataSource.manager.save(Step, { id: 1, n: 0 });
    await app.spark.drain();
    const depths: { depth: number }[] = await app.dataSource.query('SELECT depth FROM spark_event ORDER BY id');
    expect(depths.map(({ depth }) => depth)).toEqual(Array.from({ length: 17 }, (_, i) => i));
    expect(app.logs.join('\n')).toContain('yielded step_17 at the end of a chain of 16 events');
    // Each was led to by the one before, and the first by none.
    const { records } = await app.spark.events();
    expect(records.map(({ causedBy }) => causedBy)).toEqual([...records.slice(1).map(({ id }) => id), undefined]);
    const [last, before] = records;
    expect((await app.spark.events({ causedBy: before!.id })).records).toEqual([last]);
    expect((await app.spark.deliveries({ causedBy: before!.id })).records).toMatchObject([{ event: { id: last!.id } }]);
  });

  it('and a date begins a new one, with no event that led to it', async () => {
    const clock = new TestClock();
    app = await startApp({ database: db, entities: [Task], providers: [Frequent], clock });
    const kit = new SparkTestKit(app.app);
    await app.dataSource.manager.save(Task, { id: 1, due: String(clock.now() + 5 * MINUTE) });
    await kit.advance('12m');
    expect((await app.spark.events()).records).toMatchObject([
      { causedBy: undefined, depth: 0 },
      { causedBy: undefined, depth: 0 },
    ]);
  });

  it('and rests longer each time where nothing ends it, up to an hour', async () => {
    const clock = new TestClock();
    app = await startApp({ database: db, entities: [Step], providers: [Deferred, Saves], clock });
    const kit = new SparkTestKit(app.app);
    const began = clock.now();
    await app.dataSource.manager.save(Step, { id: 1, n: 0 });
    await kit.advance('2h');
    // After its rests: 1, 2, 4, 8, 16 and 32 minutes, and an hour each.
    const minutes = [0, 1, 3, 7, 15, 31, 63];
    expect(await kit.events()).toHaveLength(17 * minutes.length);
    const rests: { due_at: string }[] = await app.dataSource.query('SELECT due_at FROM spark_recheck');
    expect(rests.map(({ due_at: at }) => Number(at) - began)).toEqual([123 * MINUTE]);
    expect((await app.spark.status()).counts.refusedEvents).toBe(minutes.length);
    expect(app.logs.join('\n')).toContain('rechecks the entity in 1 min.');

    // Whoever mends it begins a chain of his own.
    await app.dataSource.manager.save(Step, { id: 1, n: 1_000 });
    await kit.drain();
    expect(await kit.events()).toHaveLength(17 * (minutes.length + 1));
    await kit.advance('1m');
    expect(await kit.events()).toHaveLength(17 * (minutes.length + 2));
  });

  it('while a task that makes up for a day without a process rests for a minute at most', async () => {
    const clock = new TestClock();
    app = await startApp({ database: db, entities: [Task], providers: [Frequent], clock });
    const kit = new SparkTestKit(app.app);
    await app.dataSource.manager.save(Task, { id: 1, due: String(clock.now() + 5 * MINUTE) });
    clock.set(clock.now() + 24 * HOUR);
    await kit.drain();
    await kit.advance('17m');
    // Once in five minutes, and 16 rests of a minute: 24 hours and 17 minutes have 291 of them.
    expect(await kit.events()).toHaveLength(291);
    await kit.advance('5m');
    expect(await kit.events()).toHaveLength(292);
  });

  it('of an entity whose key SQL writes in its own way', async () => {
    // Whoever rechecks was not notified by the handler: only the recheck says how deep the chain is.
    app = await startApp({ database: db, entities: [Leg], providers: [Legs], clock: new TestClock() });
    await app.dataSource.manager.save(Leg, { tenant: TENANT, id: 1, n: 0 });
    await app.spark.drain();
    const depths: { depth: number }[] = await app.dataSource.query('SELECT depth FROM spark_event ORDER BY id');
    expect(depths.map(({ depth }) => depth)).toEqual(Array.from({ length: 17 }, (_, i) => i));
  });
});
