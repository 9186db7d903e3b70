import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SqliteCutOffError, SqliteLockTimeoutError, SqlitePlainBeginError } from 'nestjs-spark';
import {
  DataSource,
  type DataSourceOptions,
  type EntityManager,
  type EntitySubscriberInterface,
  type MigrationInterface,
  type QueryRunner,
  TableColumn,
} from 'typeorm';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { serializeSqlite } from '../libs/spark/src/database/sqlite/sqlite-serializer.js';
import { directly } from '../libs/spark/src/database/sqlite/sqlite-statements.js';
import { startApp } from './support/app.js';
import { program } from './support/processes.js';
import { Row } from './support/row.entity.js';
import { sqliteDriver } from './support/sqlite.js';

const FAILED = new Error('on purpose');

describe('SQLite is safe', () => {
  let folder: string;
  let dataSource: DataSource;

  beforeEach(async () => {
    folder = mkdtempSync(join(inject('folder'), 'safe-'));
    dataSource = await open(30_000);
  });
  afterEach(async () => {
    if (dataSource.isInitialized) await dataSource.destroy();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(lockTimeout: number, more: Pick<DataSourceOptions, 'migrations'> = {}): Promise<DataSource> {
    const opened = await new DataSource({ ...options(), entities: [Row], synchronize: true, ...more }).initialize();
    serializeSqlite(opened, { lockTimeout });
    return opened;
  }
  const options = () => ({
    type: 'better-sqlite3' as const,
    database: join(folder, 'test.sqlite'),
    driver: sqliteDriver(),
  });
  const add = (id: number, manager: EntityManager = dataSource.manager) => manager.save(Row, { id, state: 'added' });
  const begin = async (): Promise<QueryRunner> => {
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    return runner;
  };
  /** A transaction that adds a row, takes its time, and fails. */
  const failing = (id: number, ms = 5) =>
    dataSource.transaction(async (manager) => {
      await add(id, manager);
      await delay(ms);
      throw FAILED;
    });
  const adding = (id: number, ms = 5) =>
    dataSource.transaction(async (manager) => {
      await delay(ms);
      await add(id, manager);
    });
  const ids = async () => (await dataSource.manager.find(Row, { order: { id: 'ASC' } })).map(({ id }) => id);
  /** What another connection sees: what is committed. */
  const committed = async () => {
    const other = await new DataSource({ ...options(), entities: [Row] }).initialize();
    const rows = await other.manager.find(Row, { order: { id: 'ASC' } });
    await other.destroy();
    return rows.map(({ id }) => id);
  };

  describe('transactions of one process', () => {
    it('lose their own rows and no others when they throw', async () => {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 20 }, (_, id) => (id % 2 === 0 ? failing(id) : adding(id))),
      );
      const kept = Array.from({ length: 10 }, (_, i) => 2 * i + 1);
      expect(outcomes.flatMap(({ status }, id) => (status === 'fulfilled' ? [id] : []))).toEqual(kept);
      expect(await committed()).toEqual(kept);
    });

    it('do not see each other', async () => {
      const seen: number[] = [];
      const recheck = (id: number) =>
        dataSource.transaction(async (manager) => {
          const before = await manager.count(Row);
          await add(id, manager);
          await delay(2);
          seen.push((await manager.count(Row)) - before);
        });
      await Promise.all([recheck(1), recheck(2), recheck(3)]);
      expect(seen).toEqual([1, 1, 1]);
    });

    it('are independent as siblings in a Promise.all', async () => {
      const outcomes = await Promise.allSettled([adding(1), failing(2), add(3), adding(4)]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
      expect(await committed()).toEqual([1, 3, 4]);
    });

    it('have the connection in the order of asking', async () => {
      const order: number[] = [];
      await Promise.all([1, 2, 3, 4].map((id) => adding(id, 1).then(() => order.push(id))));
      expect(order).toEqual([1, 2, 3, 4]);
    });

    it('are independent when begun by hand in the same breath', async () => {
      const [first, second] = [begin(), begin()];
      const one = await first;
      await add(1, one.manager);
      await one.rollbackTransaction();
      const two = await second;
      await add(2, two.manager);
      await two.commitTransaction();
      expect(await committed()).toEqual([2]);
    });

    it('keep a plain query outside waiting, which sees no uncommitted row', async () => {
      const rolledBack = failing(1, 50).catch(() => undefined);
      await delay(20);
      expect(await ids()).toEqual([]);
      await rolledBack;
    });

    it('leave a write beside them standing when they fail', async () => {
      const failed = failing(1, 30).catch(() => undefined);
      await delay(10);
      await dataSource.query(`INSERT INTO row VALUES (2, 'plain')`);
      await dataSource.getRepository(Row).insert({ id: 3, state: 'plain' });
      await failed;
      expect(await committed()).toEqual([2, 3]);
    });

    it.each([1, 2, 3])('keep what a model says, 300 at once, nested, failing and swallowed (seed %i)', async (seed) => {
      const random = generator(seed);
      let last = 0;
      const nextId = () => ++last;
      const plans = Array.from({ length: 300 }, () => plan(random, nextId, 0));
      const plain = Array.from({ length: 300 }, nextId);
      const outcomes = await Promise.all([
        ...plans.map((each) =>
          runPlan(dataSource, each).then(
            () => true,
            (error) => error !== FAILED,
          ),
        ),
        ...plain.map((id) => add(id)),
      ]);
      expect(outcomes.slice(0, 300)).toEqual(plans.map((each) => outcomeOf(each) !== undefined));
      const expected = [...plans.flatMap((each) => outcomeOf(each) ?? []), ...plain].sort((a, b) => a - b);
      expect(await committed()).toEqual(expected);
    });
  });

  describe('part of a transaction', () => {
    it('is a call of a global repository in its callback', async () => {
      const call = dataSource.transaction(async () => {
        await add(1);
        await dataSource.getRepository(Row).update({ id: 1 }, { state: 'updated' });
        expect(await ids()).toEqual([1]);
        throw FAILED;
      });
      await expect(call).rejects.toBe(FAILED);
      expect(await committed()).toEqual([]);
    });

    it('is a query of a query runner that was there before', async () => {
      const runner = dataSource.createQueryRunner();
      const call = dataSource.transaction(async () => {
        await runner.query(`INSERT INTO row VALUES (1, 'within')`);
        throw FAILED;
      });
      await expect(call).rejects.toBe(FAILED);
      expect(await committed()).toEqual([]);
    });

    it('is a nested dataSource.transaction of a helper, as a savepoint', async () => {
      await dataSource.transaction(async () => {
        await add(1);
        await adding(2);
        await failing(3).catch(() => undefined);
        await dataSource.transaction(async (manager) => {
          await add(4);
          await manager.transaction((inner) => add(5, inner));
          await expect(manager.transaction(() => failing(6))).rejects.toBe(FAILED);
        });
      });
      expect(await committed()).toEqual([1, 2, 4, 5]);
    });

    it.each([true, false])('is what a query runner does until it ends it, connect() called: %s', async (connect) => {
      const runner = dataSource.createQueryRunner();
      if (connect) await runner.connect();
      await runner.startTransaction();
      await add(1, runner.manager);
      await add(2);
      await runner.rollbackTransaction();
      await runner.startTransaction();
      await add(3, runner.manager);
      await runner.commitTransaction();
      await runner.release();
      await add(4);
      expect(await committed()).toEqual([3, 4]);
    });

    it('is what a caller does globally after an async helper began by hand', async () => {
      const runner = await begin();
      await add(1);
      await adding(2);
      expect(await committed()).toEqual([]);
      await runner.rollbackTransaction();
      await add(3);
      expect(await committed()).toEqual([3]);
    });

    it('are parallel transactions within it, as savepoints that queue: one that fails undoes no other', async () => {
      await dataSource.transaction(async (manager) => {
        const outcomes = await Promise.allSettled([
          adding(1),
          failing(2),
          manager.transaction((inner) => add(3, inner)),
          failing(4),
          adding(5),
          add(6),
        ]);
        expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(2);
      });
      expect(await committed()).toEqual([1, 3, 5, 6]);
    });

    it('is a nested transaction that nobody awaits: the commit waits for it', async () => {
      let nested: Promise<void> | undefined;
      await dataSource.transaction(async (manager) => {
        await add(1, manager);
        nested = adding(2);
      });
      expect(await committed()).toEqual([1, 2]);
      await nested;
    });

    it('is not a nested one that fails while nobody awaits it', async () => {
      let nested: Promise<unknown> | undefined;
      await dataSource.transaction(async (manager) => {
        await add(1, manager);
        nested = failing(2).catch((error: unknown) => error);
      });
      expect(await committed()).toEqual([1]);
      expect(await nested).toBe(FAILED);
    });

    it('is a save that nobody awaits, or it comes right after: it is not lost', async () => {
      let saved: Promise<unknown> | undefined;
      await dataSource.transaction(async (manager) => {
        await add(1, manager);
        saved = add(2);
      });
      await saved;
      expect(await committed()).toEqual([1, 2]);
    });

    it('is not what runs in its context after its end', async () => {
      let late: Promise<unknown> | undefined;
      await dataSource.transaction(async (manager) => {
        await add(1, manager);
        late = delay(20).then(() => Promise.all([adding(2), add(3), failing(4).catch(() => undefined)]));
      });
      await late;
      expect(await committed()).toEqual([1, 2, 3]);
    });

    it('is not what its caller does beside it, at whatever moment', async () => {
      const failed = failing(1, 40).catch((error: unknown) => error);
      await add(2);
      await dataSource.getRepository(Row).insert({ id: 3, state: 'beside' });
      const failedToo = failing(4, 40).catch((error: unknown) => error);
      await delay(10);
      await add(5);
      await adding(6);
      expect([await failed, await failedToo]).toEqual([FAILED, FAILED]);
      expect(await committed()).toEqual([2, 3, 5, 6]);
    });

    it('is not what its callback leaves behind that begins when it has ended', async () => {
      const late: Promise<void>[] = [];
      await dataSource.transaction(async () => {
        await dataSource.transaction(async (manager) => {
          await add(1, manager);
          late.push(adding(2), adding(3));
          setTimeout(() => late.push(adding(4)), 1);
        });
        await delay(20);
        await Promise.all(late);
        expect(await ids()).toEqual([1, 2, 3, 4]);
      });
      expect(await committed()).toEqual([1, 2, 3, 4]);
    });

    it('is not a nested one that begins while it ends', async () => {
      const late: Promise<unknown>[] = [];
      await dataSource.transaction(async () => {
        late.push(adding(1, 30));
        setTimeout(
          () =>
            late.push(
              failing(2, 20).catch(() => undefined),
              adding(3, 20),
            ),
          10,
        );
      });
      await Promise.all([...late, adding(4, 10), add(5)]);
      expect(await committed()).toEqual([1, 3, 4, 5]);
    });

    it('is what another request does by its query runner, which may also commit it', async () => {
      let runner: QueryRunner;
      const begins = async () => {
        await delay(1);
        runner = await begin();
        await add(1, runner.manager);
      };
      const commits = async () => {
        await delay(20);
        await add(2, runner.manager);
        await runner.manager.transaction((manager) => add(3, manager));
        await runner.commitTransaction();
      };
      const beside = async () => {
        await delay(10);
        await add(4);
      };
      await Promise.all([begins(), commits(), beside()]);
      expect(await committed()).toEqual([1, 2, 3, 4]);
    });

    it('is no statement that is sent to the connection itself when SQLite undid it', async () => {
      await add(1);
      const undone = dataSource.transaction(async (manager) => {
        await expect(manager.query(`INSERT OR ROLLBACK INTO row VALUES (1, 'again')`)).rejects.toThrow('UNIQUE');
        await directly(manager, (statement) => statement(`INSERT INTO row VALUES (2, 'ghost')`).run());
      });
      await expect(undone).rejects.toThrow('UNIQUE');
      expect(await committed()).toEqual([1]);
    });

    it('is nothing that follows when SQLite itself undid it', async () => {
      await add(1);
      const undone = dataSource.transaction(async (manager) => {
        await add(2, manager);
        const nested = manager.transaction((inner) => inner.query(`INSERT OR ROLLBACK INTO row VALUES (1, 'again')`));
        await expect(nested).rejects.toThrow('UNIQUE');
        await expect(add(3)).rejects.toThrow('UNIQUE');
      });
      await expect(undone).rejects.toThrow('UNIQUE');
      const runner = await begin();
      await expect(runner.query(`INSERT OR ROLLBACK INTO row VALUES (1, 'again')`)).rejects.toThrow('UNIQUE');
      await expect(runner.commitTransaction()).rejects.toThrow('UNIQUE');
      await expect(runner.rollbackTransaction()).rejects.toThrow('UNIQUE');
      await runner.startTransaction();
      await add(4, runner.manager);
      await runner.commitTransaction();
      await adding(5);
      expect(await committed()).toEqual([1, 4, 5]);
    });
  });

  describe('the lock', () => {
    const HOOKS = [
      'beforeTransactionStart',
      'afterTransactionStart',
      'beforeTransactionCommit',
      'afterTransactionCommit',
      'beforeTransactionRollback',
      'afterTransactionRollback',
    ] as const;

    const arm = (hook: (typeof HOOKS)[number]) => {
      const subscriber: EntitySubscriberInterface = { [hook]: () => Promise.reject(FAILED) };
      dataSource.subscribers.push(subscriber);
      return () => dataSource.subscribers.splice(dataSource.subscribers.indexOf(subscriber), 1);
    };
    const reopen = async (lockTimeout: number) => {
      await dataSource.destroy();
      dataSource = await open(lockTimeout);
    };

    it.each(HOOKS)('is free after a subscriber threw in %s', async (hook) => {
      const disarm = arm(hook);
      await Promise.allSettled([adding(1), failing(2), add(3)]);
      await dataSource.transaction(() => Promise.allSettled([adding(4), failing(5)])).catch(() => undefined);
      disarm();
      const before = await committed();
      await Promise.all([adding(6), add(7)]);
      expect(await committed()).toEqual([...before, 6, 7]);
      expect(await ids()).toEqual([...before, 6, 7]);
    });

    it.each(HOOKS)('stays with a transaction in which a nested one failed by a subscriber in %s', async (hook) => {
      await dataSource.transaction(async (manager) => {
        await add(1, manager);
        const disarm = arm(hook);
        await dataSource.transaction((inner) => add(2, inner)).catch(() => undefined);
        await manager.transaction(() => failing(3)).catch(() => undefined);
        disarm();
        await adding(4);
        expect(await committed()).toEqual([]);
      });
      const kept = await committed();
      // The savepoint of the second is released before the hook that throws after it.
      expect(kept.filter((id) => id !== 2)).toEqual([1, 4]);
      await Promise.all([adding(5), add(6)]);
      expect(await committed()).toEqual([...kept, 5, 6]);
    });

    it('is handed on when a nested transaction that nobody awaits outlasts the patience of the commit', async () => {
      await reopen(30);
      let nested: Promise<void> | undefined;
      const outer = dataSource.transaction(async (manager) => {
        await add(1, manager);
        nested = adding(2, 300);
        nested.catch(() => undefined);
      });
      await expect(outer).rejects.toThrow(SqliteLockTimeoutError);
      // Nothing waits for the nested one any longer, and nothing of it is kept.
      await adding(3);
      await expect(nested).rejects.toThrow(SqliteCutOffError);
      expect(await committed()).toEqual([3]);
    });

    it('is handed on when a nested transaction never ends and its outer one fails', async () => {
      await reopen(30);
      const outer = dataSource.transaction(async (manager) => {
        await add(1, manager);
        void manager.transaction((inner) => inner.transaction(() => new Promise(() => undefined)));
        await delay(5);
        throw FAILED;
      });
      await expect(outer).rejects.toBe(FAILED);
      await Promise.all([adding(2), add(3)]);
      expect(await committed()).toEqual([2, 3]);
    });

    it('does not leave a transaction whose nested one waited too long for its sibling', async () => {
      await reopen(30);
      await dataSource.transaction(async () => {
        const [slow, waiting] = await Promise.allSettled([adding(1, 80), adding(2)]);
        expect([slow.status, waiting.status]).toEqual(['fulfilled', 'rejected']);
        await add(3);
      });
      expect(await committed()).toEqual([1, 3]);
    });

    it('says where the transaction began to whoever waited too long, and is usable afterwards', async () => {
      await reopen(50);
      const runner = dataSource.createQueryRunner();
      const blocked = async (work: () => Promise<unknown>) => {
        const error = await work().then(
          () => undefined,
          (reason: unknown) => reason as Error,
        );
        expect(error).toBeInstanceOf(SqliteLockTimeoutError);
        expect(error!.message).toMatch(
          /Waited 50 ms .*sqlite\.lockTimeout.* began here:\n.*database-sqlite-transactions\.e2e-spec/s,
        );
      };
      let held: () => void;
      const holding = dataSource.transaction(async () => {
        await add(1);
        await new Promise<void>((resolve) => (held = resolve));
      });
      await delay(5);
      await blocked(() => adding(2));
      await blocked(() => ids());
      await blocked(() => runner.startTransaction());
      held!();
      await holding;
      await adding(3);
      await runner.startTransaction();
      await add(4, runner.manager);
      await runner.commitTransaction();
      expect(await committed()).toEqual([1, 3, 4]);
    });

    it('is free after a statement failed', async () => {
      await expect(dataSource.query('SELECT missing FROM row')).rejects.toThrow('no such column');
      await expect(dataSource.transaction('READ COMMITTED', () => add(1))).rejects.toThrow('isolation level');
      await adding(2);
      expect(await committed()).toEqual([2]);
    });

    it('is free after another process wrote for too long', async () => {
      await reopen(50);
      const other = await new DataSource(options()).initialize();
      await other.query('BEGIN IMMEDIATE');
      const runner = dataSource.createQueryRunner();
      await expect(runner.startTransaction()).rejects.toThrow('belongs to another process');
      await expect(add(1, runner.manager)).rejects.toThrow('belongs to another process');
      await other.query('COMMIT');
      await other.destroy();
      await add(2, runner.manager);
      expect(runner.isTransactionActive).toBe(false);
      expect(await committed()).toEqual([2]);
    });

    it('is not held by a query runner that nobody released', async () => {
      const runner = dataSource.createQueryRunner();
      await runner.connect();
      await runner.query('SELECT * FROM row');
      await adding(1);
      expect(await runner.query('SELECT id FROM row')).toEqual([{ id: 1 }]);
    });

    it('is not for BEGIN as a plain query, which would draw others in', async () => {
      await expect(dataSource.query('BEGIN')).rejects.toThrow(SqlitePlainBeginError);
      await Promise.all([adding(1), add(2)]);
      expect(await committed()).toEqual([1, 2]);
    });
  });

  describe('a schema changes amid transactions', () => {
    it.each([
      ['succeed', [RemakeParents1700000000000]],
      ['fail', [RemakeParents1700000000000, Fail1700000000001]],
    ])('and foreign keys guard every row, by migrations that %s', async (outcome, migrations) => {
      await dataSource.destroy();
      dataSource = await open(5_000, { migrations });
      await dataSource.query('CREATE TABLE parent (id INTEGER PRIMARY KEY)');
      await dataSource.query('CREATE TABLE child (parent INTEGER REFERENCES parent (id) ON DELETE CASCADE)');
      await dataSource.query('INSERT INTO parent VALUES (1)');
      await dataSource.query('INSERT INTO child VALUES (1)');
      const guarded = beside();
      await delay(5);
      const failed = await dataSource.runMigrations().then(
        () => false,
        (error) => error === FAILED,
      );
      expect(await guarded).toEqual(Array.from({ length: 100 }, () => true));
      expect(failed).toBe(outcome === 'fail');
      expect(await dataSource.query('SELECT * FROM child')).toHaveLength(1);
      expect(await dataSource.query('PRAGMA foreign_keys')).toEqual([{ foreign_keys: 1 }]);
    });

    it('and foreign keys guard every row, by synchronize()', async () => {
      const guarded = beside();
      await delay(5);
      await Promise.all([dataSource.synchronize(), dataSource.synchronize()]);
      expect(await guarded).toEqual(Array.from({ length: 100 }, () => true));
      expect(await dataSource.query('PRAGMA foreign_keys')).toEqual([{ foreign_keys: 1 }]);
    });

    /** Whether foreign keys were on, for each of many transactions. */
    const beside = () =>
      Promise.all(
        Array.from({ length: 100 }, async (_, id) => {
          await delay(id % 20);
          return dataSource.transaction(async (manager) => {
            await add(id, manager);
            const [{ foreign_keys: on }] = await manager.query('PRAGMA foreign_keys');
            return on === 1;
          });
        }),
      );
  });

  it('and the process stays as fast, however many applications it has closed', async () => {
    // On Node 20 each storage that was ever entered slows every await of the process down.
    const entered = new Set<unknown>();
    const { enterWith, run } = AsyncLocalStorage.prototype;
    AsyncLocalStorage.prototype.enterWith = function (store) {
      entered.add(this);
      return enterWith.call(this, store);
    };
    AsyncLocalStorage.prototype.run = function (...given: any[]): any {
      entered.add(this);
      return Reflect.apply(run, this, given);
    };
    const onceMore = async () => {
      const app = await startApp({ database: { options: options(), drop: async () => {} }, entities: [Row] });
      await app.dataSource.manager.save(Row, { id: 1, state: 'added' });
      await app.close();
      return entered.size;
    };
    try {
      const once = await onceMore();
      expect(once).toBeGreaterThan(0);
      for (let i = 0; i < 3; i++) expect(await onceMore()).toBe(once);
    } finally {
      Object.assign(AsyncLocalStorage.prototype, { enterWith, run });
    }
  });

  it('a DataSource that is initialised again is as safe as before', async () => {
    await begin();
    await dataSource.destroy();
    await dataSource.initialize();
    await Promise.allSettled([adding(1), failing(2), add(3)]);
    expect(await committed()).toEqual([1, 3]);
    expect(await dataSource.query('PRAGMA busy_timeout')).toEqual([{ timeout: 0 }]);
    expect(await dataSource.query('PRAGMA journal_mode')).toEqual([{ journal_mode: 'wal' }]);
  });

  it('several processes read and then write one file, and no transaction fails', async () => {
    const [processes, transactions] = [2, 150];
    const { database } = options();
    const writer = await program('sqlite-writer.program.ts');
    try {
      await (
        await startApp({ database: { options: options(), drop: async () => undefined }, entities: [Row] })
      ).close();
      await dataSource.manager.insert(Row, { id: 1, state: '0' });
      const results = Array.from({ length: processes }, () => writer.start({ database, transactions }).result);
      expect((await Promise.all(results)).flat()).toEqual([]);
      const row = await dataSource.manager.findOneByOrFail(Row, { id: 1 });
      expect(Number(row.state)).toBe(processes * transactions);
    } finally {
      writer.remove();
    }
  }, 60_000);

  it.each([true, false])(
    'is what SparkModule makes of its DataSource, with sqlite.serialize: %s',
    async (serialize) => {
      const database = { options: options(), drop: async () => undefined };
      const { dataSource: given, close } = await startApp({
        database,
        entities: [Row],
        spark: { sqlite: { serialize } },
      });
      const runners = new Set([given.createQueryRunner(), given.createQueryRunner()]);
      await close();
      expect(runners.size).toBe(serialize ? 2 : 1);
    },
  );
});

/** Makes a table anew, as TypeORM does on SQLite: foreign keys would delete what refers to it. */
class RemakeParents1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.addColumn('parent', new TableColumn({ name: 'name', type: 'text', isNullable: true }));
  }

  async down(): Promise<void> {}
}

class Fail1700000000001 implements MigrationInterface {
  async up(): Promise<void> {
    throw FAILED;
  }

  async down(): Promise<void> {}
}

/** What a transaction does. */
interface Plan {
  readonly steps: ({ id: number; global: boolean } | { plan: Plan; swallowed: boolean } | 'pause')[];
  readonly kind: 'dataSource' | 'manager' | 'runner';
  readonly end: 'commit' | 'fail' | 'roll back';
}

function plan(random: () => number, nextId: () => number, depth: number): Plan {
  const pick = <T>(...of: T[]) => of[Math.floor(random() * of.length)]!;
  const steps = Array.from({ length: 1 + Math.floor(random() * 4) }, (): Plan['steps'][number] => {
    if (random() < 0.2) return 'pause';
    if (depth < 3 && random() < 0.4) {
      return { plan: plan(random, nextId, depth + 1), swallowed: random() < 0.8 };
    }
    return { id: nextId(), global: random() < 0.5 };
  });
  return { steps, kind: pick('dataSource', 'manager', 'runner'), end: pick('commit', 'commit', 'fail', 'roll back') };
}

/** The rows that it leaves, or undefined where it fails. */
function outcomeOf({ steps, kind, end }: Plan): number[] | undefined {
  const rows: number[] = [];
  for (const step of steps) {
    if (step === 'pause') continue;
    if ('id' in step) rows.push(step.id);
    else {
      const nested = outcomeOf(step.plan);
      if (!nested && !step.swallowed) return undefined;
      rows.push(...(nested ?? []));
    }
  }
  if (end === 'roll back' && kind === 'runner') return [];
  return end === 'commit' ? rows : undefined;
}

async function runPlan(dataSource: DataSource, { steps, kind, end }: Plan, outer?: EntityManager): Promise<void> {
  const work = async (manager: EntityManager) => {
    for (const step of steps) {
      if (step === 'pause') await delay(1);
      else if ('id' in step) {
        await (step.global ? dataSource.manager : manager).save(Row, { id: step.id, state: 'planned' });
      } else {
        const nested = runPlan(dataSource, step.plan, manager);
        await (step.swallowed ? nested.catch(() => undefined) : nested);
      }
    }
    if (end === 'fail' || (end === 'roll back' && kind !== 'runner')) throw FAILED;
  };
  if (kind !== 'runner') return (kind === 'manager' && outer ? outer : dataSource).transaction(work);
  const runner = dataSource.createQueryRunner();
  await runner.startTransaction();
  try {
    await work(runner.manager);
  } catch (error) {
    await runner.rollbackTransaction();
    throw error;
  }
  await (end === 'commit' ? runner.commitTransaction() : runner.rollbackTransaction());
}

/** Mulberry32: random numbers that a seed repeats. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
