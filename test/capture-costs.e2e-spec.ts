import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import {
  AbstractLogger,
  Column,
  type DataSource,
  Entity,
  type LogMessage,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Plain {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Entity()
class Parent {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
  @OneToMany(() => Child, (child) => child.parent) children: Relation<Child>[];
}

@Entity()
class Child {
  @PrimaryGeneratedColumn() id: number;
  @ManyToOne(() => Parent, (parent) => parent.children) parent: Relation<Parent>;
}

@Entity()
class Stranger {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Injectable()
class Events {
  @EventSource(Plain)
  *plain({ id }: Plain) {
    for (const group of ['plain_a', 'plain_b', 'plain_c']) yield sparkEvent(group, id);
  }

  @EventSource(Parent, { relations: { children: true } })
  *parent({ id, children }: Parent) {
    yield sparkEvent('parent', [id, children.length]);
  }

  @GroupHandler(/^p/, { name: 'all' })
  handle() {}
}

class CountingLogger extends AbstractLogger {
  count = 0;

  constructor() {
    super('all');
  }

  override logQuery(): void {
    this.count++;
  }

  protected writeLog(_level: string, _message: LogMessage | string | number | (LogMessage | string | number)[]): void {}
}

/** What the table in docs/scaling.md says: how many statements each kind of write adds. */
const ADDED = {
  'save of what no source is about': { SQLite: 0, PostgreSQL: 0, MariaDB: 0 },
  'save that changes nothing': { SQLite: 0, PostgreSQL: 0, MariaDB: 0 },
  // Three events with one delivery each; on SQLite each of these is a statement.
  'save, new events': { SQLite: 1 + 1 + 6, PostgreSQL: 2, MariaDB: 4 },
  'save, nothing new': { SQLite: 1 + 3, PostgreSQL: 2, MariaDB: 2 },
  // 300 events are entered in two parts there.
  'save of 100, new events': { SQLite: 1 + 100 + 600 + 1, PostgreSQL: 2, MariaDB: 4 },
  'save with a deferred source': { SQLite: 1, PostgreSQL: 1, MariaDB: 1 },
  'save of a related entity': { SQLite: 2, PostgreSQL: 2, MariaDB: 2 },
  'update by criteria': { SQLite: 3, PostgreSQL: 2, MariaDB: 3 },
  'update by criteria in a transaction': { SQLite: 1, PostgreSQL: 0, MariaDB: 1 },
};

describe.each(databases)('each write costs what the docs say, on $name', (database) => {
  const logger = new CountingLogger();
  let db: TestDatabase;
  let app: TestApp;
  let ds: DataSource;
  let bare: DataSource;

  beforeAll(async () => {
    db = await database.create();
    const entities = [Plain, Parent, Child, Stranger];
    // Under it nothing runs by itself.
    const clock = new TestClock();
    app = await startApp({ database: db, entities, providers: [Events], clock, dataSource: { logger } });
    ds = app.dataSource;
    bare = new (ds.constructor as typeof DataSource)({ ...db.options, entities, logger });
    await bare.initialize();
  });
  afterAll(async () => {
    await bare.destroy();
    await app.close();
    await db.drop();
  });

  /** How many statements more a write takes with Spark than without. */
  const added = async (write: (on: DataSource) => Promise<unknown>) => {
    const counted = async (on: DataSource) => {
      await app.spark.drain();
      const before = logger.count;
      await write(on);
      return logger.count - before;
    };
    const without = await counted(bare);
    return (await counted(ds)) - without;
  };

  const measures: Record<keyof typeof ADDED, () => Promise<number>> = {
    'save of what no source is about': () => added((on) => on.manager.save(Stranger, { title: 'x' })),
    'save that changes nothing': async () => {
      const { id } = await ds.manager.save(Plain, { title: 'same' });
      return added((on) => on.manager.save(Plain, { id, title: 'same' }));
    },
    'save, new events': () => added((on) => on.manager.save(Plain, { title: 'x' })),
    'save, nothing new': async () => {
      const { id } = await ds.manager.save(Plain, { title: 'x' });
      return added((on) => on.manager.save(Plain, { id, title: on === ds ? 'y' : 'z' }));
    },
    'save of 100, new events': () =>
      added((on) => on.manager.save(Array.from({ length: 100 }, () => on.manager.create(Plain, { title: 'x' })))),
    'save with a deferred source': () => added((on) => on.manager.save(Parent, { title: 'x' })),
    'save of a related entity': async () => {
      const parent = await ds.manager.save(Parent, { title: 'x' });
      return added((on) => on.manager.save(Child, { parent: { id: parent.id } }));
    },
    'update by criteria': () => added((on) => on.manager.update(Plain, { title: 'x' }, { title: 'w' })),
    'update by criteria in a transaction': () =>
      added((on) => on.transaction((m) => m.update(Plain, { title: 'x' }, { title: 'w' }))),
  };

  it.each(Object.keys(ADDED) as (keyof typeof ADDED)[])('%s', async (kind) => {
    expect(await measures[kind]()).toBe(ADDED[kind][database.name as 'SQLite']);
  });

  it('more than 1,000 entities in one transaction are left to rechecks after it, and none is missed', async () => {
    await app.spark.drain();
    const count = async (table: string) => Number((await ds.query(`SELECT COUNT(*) AS n FROM ${table}`))[0].n);
    const saved = (n: number) =>
      ds.manager.save(Array.from({ length: n }, () => ds.manager.create(Plain, { title: 'x' })));
    const before = await count('spark_event');
    await saved(1_000);
    expect(await count('spark_event')).toBe(before + 3_000);
    await saved(1_001);
    expect(await count('spark_event')).toBe(before + 3_000);
    expect(await count('spark_recheck')).toBe(1_001);
    await app.spark.drain();
    expect(await count('spark_event')).toBe(before + 6_003);
    // Six thousand deliveries, ten at a time.
  }, 120_000);
});
