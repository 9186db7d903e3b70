import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import {
  Column,
  Entity,
  type EntityManager,
  type EntitySubscriberInterface,
  type InsertEvent,
  PrimaryColumn,
  type QueryRunner,
  type TransactionCommitEvent,
  type TransactionRollbackEvent,
} from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Page {
  @PrimaryColumn() id: number;
}

@Entity()
class Trace {
  @PrimaryColumn() id: string;
  @Column() text: string;
}

@Injectable()
class Sources {
  @EventSource(Trace)
  *traced({ id }: Trace) {
    yield sparkEvent('traced', id);
  }
}

type Hook =
  'beforeTransactionCommit' | 'afterTransactionCommit' | 'beforeTransactionRollback' | 'afterTransactionRollback';

describe.each(databases)('subscribers may save in hooks, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  const own: EntitySubscriberInterface[] = [];

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({
      database: db,
      entities: [Page, Trace],
      providers: [Sources],
      spark: { worker: false, sqlite: { lockTimeout: '3s' } },
    });
  });
  afterEach(() => {
    for (const subscriber of own.splice(0))
      app.dataSource.subscribers.splice(app.dataSource.subscribers.indexOf(subscriber), 1);
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  /** Saves a trace when the hook is first called for a transaction that saved a page. */
  const tracing = (hook: Hook, id: string, save: (manager: EntityManager, trace: Trace) => Promise<unknown>) => {
    let isDone = false;
    const saving = new WeakSet<QueryRunner>();
    const subscriber = {
      afterInsert: ({ metadata, queryRunner }: InsertEvent<object>) =>
        void (metadata.target === Page && saving.add(queryRunner)),
      [hook]: async ({ manager, queryRunner }: TransactionCommitEvent | TransactionRollbackEvent) => {
        if (isDone || !saving.has(queryRunner)) return;
        isDone = true;
        await save(manager, Object.assign(new Trace(), { id, text: hook }));
      },
    };
    own.push(subscriber);
    app.dataSource.subscribers.push(subscriber);
  };
  const ways: [string, (manager: EntityManager, trace: Trace) => Promise<unknown>][] = [
    ['by the manager of the event', (manager, trace) => manager.save(trace)],
    ['by the DataSource', (_, trace) => app.dataSource.manager.save(trace)],
    [
      'in a transaction by the manager of the event',
      (manager, trace) => manager.transaction((inner) => inner.save(trace)),
    ],
    [
      'in a transaction of the DataSource',
      (_, trace) => app.dataSource.transaction((inner) => inner.getRepository(Trace).save(trace)),
    ],
  ];
  const isThere = async (id: string) => {
    const [{ n: events }] = await app.dataSource.query(
      `SELECT COUNT(*) AS n FROM spark_event WHERE event_key = 'traced_${id}'`,
    );
    return [await app.dataSource.manager.countBy(Trace, { id }), Number(events)];
  };
  const failed = new Error('on purpose');
  let pages = 0;

  describe.each(ways)('%s', (how, save) => {
    const idOf = (hook: string) => `${hook}-${ways.findIndex(([way]) => way === how)}`;

    it('after a commit: the save is kept, and its event', async () => {
      tracing('afterTransactionCommit', idOf('commit'), save);
      await app.dataSource.manager.save(Page, { id: ++pages });
      expect(await isThere(idOf('commit'))).toEqual([1, 1]);
    });

    it('after a rollback: the save is kept, and its event', async () => {
      tracing('afterTransactionRollback', idOf('rollback'), save);
      const work = app.dataSource.transaction(async (manager) => {
        await manager.save(Page, { id: ++pages });
        throw failed;
      });
      await expect(work).rejects.toBe(failed);
      expect(await isThere(idOf('rollback'))).toEqual([1, 1]);
      expect(await app.dataSource.manager.countBy(Page, { id: pages })).toBe(0);
    });

    it('after the end of a nested transaction: the save is kept, and its event', async () => {
      tracing('afterTransactionRollback', idOf('nested'), save);
      await app.dataSource.transaction(async (manager) => {
        await manager
          .transaction(async (inner) => {
            await inner.save(Page, { id: ++pages });
            throw failed;
          })
          .catch(() => undefined);
        await manager.save(Page, { id: ++pages });
      });
      expect(await isThere(idOf('nested'))).toEqual([1, 1]);
    });
  });

  it('before a commit, in a transaction of the event: the save is kept', async () => {
    tracing('beforeTransactionCommit', 'before', (manager, trace) => manager.transaction((inner) => inner.save(trace)));
    await app.dataSource.manager.save(Page, { id: ++pages });
    expect((await isThere('before'))[0]).toBe(1);
  });

  it('before a rollback, in a transaction of the event: the save is undone with the rest', async () => {
    tracing('beforeTransactionRollback', 'undone', (manager, trace) =>
      manager.transaction((inner) => inner.save(trace)),
    );
    const work = app.dataSource.transaction(async (manager) => {
      await manager.save(Page, { id: ++pages });
      throw failed;
    });
    await expect(work).rejects.toBe(failed);
    expect(await isThere('undone')).toEqual([0, 0]);
  });

  it('and everybody else writes on meanwhile and afterwards', async () => {
    tracing('afterTransactionCommit', 'beside', (manager, trace) => manager.save(trace));
    const ids = Array.from({ length: 10 }, () => ++pages);
    await Promise.all(ids.map((id) => app.dataSource.manager.save(Page, { id })));
    expect(await app.dataSource.manager.count(Page, { where: ids.map((id) => ({ id })) })).toBe(10);
    expect(await isThere('beside')).toEqual([1, 1]);
  });
});
