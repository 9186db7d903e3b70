import { Injectable } from '@nestjs/common';
import {
  EventSource,
  GroupHandler,
  type HandlerScope,
  RetryLater,
  sparkEvent,
  type SparkEvent,
  type SparkModuleOptions,
  UnknownHandlerError,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { setTimeout as delay } from 'node:timers/promises';
import { AbstractLogger, Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Injectable()
class Notes {
  @EventSource(Note) *events({ id }: Note) {
    yield sparkEvent('note', id);
  }
}

/** What handlers of a process have been called with: `handler key`. */
class Calls {
  readonly all: string[] = [];
  hold: Promise<unknown> | undefined;
  of = (handler: string) => this.all.filter((call) => call.startsWith(`${handler} `));
}

@Injectable()
class Handlers extends Calls {
  @GroupHandler(/./, { name: 'mails' }) async mails({ key }: SparkEvent) {
    this.all.push(`mails ${key}`);
    await this.hold;
  }
  @GroupHandler(/./, { name: 'files' }) files({ key }: SparkEvent) {
    this.all.push(`files ${key}`);
  }
  @GroupHandler(/./, { name: 'one', concurrency: 1 }) one({ key }: SparkEvent) {
    this.all.push(`one ${key}`);
  }
  @GroupHandler(/./, { name: 'exact', transactional: true }) async exact({ key }: SparkEvent, scope: HandlerScope) {
    this.all.push(`exact ${key}`);
    await scope.manager.query('SELECT 1');
  }
}

@Injectable()
class Later extends Calls {
  @GroupHandler(/./, { name: 'later' }) later({ key }: SparkEvent, { attempt }: HandlerScope) {
    this.all.push(`later ${key}`);
    if (attempt === 1 && this.all.length === 1) throw new RetryLater('1h');
  }
}

@Injectable()
class Former extends Calls {
  @GroupHandler(/./, { name: 'mails' }) mails({ key }: SparkEvent) {
    this.all.push(`mails ${key}`);
  }
}

@Injectable()
class Renamed extends Calls {
  @GroupHandler(/./, { name: 'letters', aliases: ['mails'] }) letters({ key }: SparkEvent) {
    this.all.push(`letters ${key}`);
  }
}

// No poll comes within a test; on MariaDB it is what quickens.
const SELDOM: SparkModuleOptions = { worker: { pollInterval: '10m' } };

describe.each(databases)('handlers can be paused, on $name', (database) => {
  let db: TestDatabase;
  const apps: TestApp[] = [];

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (handlers: (new () => Calls)[], options: Partial<TestAppOptions> = {}) => {
    const app = await startApp({
      database: db,
      entities: [Note],
      providers: [Notes, ...handlers],
      spark: SELDOM,
      ...options,
    });
    apps.push(app);
    return { ...app, calls: app.app.get(handlers[0] ?? Notes) as Calls };
  };
  const close = async (app: TestApp) => {
    apps.splice(
      apps.findIndex(({ app: one }) => one === app.app),
      1,
    );
    await app.close();
  };
  const idle = (handlers: (new () => Calls)[], options: Partial<TestAppOptions> = {}) =>
    start(handlers, { spark: { autoStart: false }, ...options });
  const save = ({ dataSource }: TestApp) => dataSource.manager.save(Note, { text: 'a' });
  const until = (check: () => void | Promise<void>) => vi.waitFor(check, { timeout: 10_000, interval: 10 });
  /** Processes on PostgreSQL notify each other once they listen. */
  const listening = () => delay(database.name === 'PostgreSQL' ? 300 : 50);
  const REST = 300;

  it('in one process, for all: no other begins it, all else goes on, and resuming notifies them without a poll', async () => {
    const [working, asking] = [await start([Handlers]), await start([], { spark: { worker: false } })];
    await listening();
    await asking.spark.pauseHandler('mails');
    await save(asking);
    await save(working);
    await until(() => expect(working.calls.of('files')).toHaveLength(2));
    await delay(REST);
    expect(working.calls.of('mails')).toEqual([]);
    const { records } = await asking.spark.deliveries({ handler: 'mails' });
    expect(records.map(({ state, attempt }) => [state, attempt])).toEqual([
      ['available', 0],
      ['available', 0],
    ]);

    await asking.spark.resumeHandler('mails');
    await until(() => expect(working.calls.of('mails').toSorted()).toEqual(['mails note_1', 'mails note_2']));
  });

  it('in its own process, again and again, whatever else it is: limited or transactional', async () => {
    const app = await start([Handlers]);
    for (const name of ['one', 'exact', 'one']) await app.spark.pauseHandler(name);
    await save(app);
    await until(() => expect(app.calls.of('mails')).toHaveLength(1));
    await delay(REST);
    expect([...app.calls.of('one'), ...app.calls.of('exact')]).toEqual([]);
    for (const name of ['one', 'exact', 'one']) await app.spark.resumeHandler(name);
    await until(() => expect([...app.calls.of('one'), ...app.calls.of('exact')]).toHaveLength(2));
  });

  it('what has begun ends', async () => {
    const app = await start([Handlers]);
    let end = (): void => {};
    app.calls.hold = new Promise<void>((resolve) => (end = resolve));
    await save(app);
    await until(() => expect(app.calls.of('mails')).toHaveLength(1));
    await app.spark.pauseHandler('mails');
    end();
    await until(async () => {
      const { records } = await app.spark.deliveries({ handler: 'mails' });
      expect(records).toMatchObject([{ state: 'completed' }]);
    });
  });

  it('a pause waits for claims that are under way, and later ones see it', async () => {
    const app = await idle([Handlers]);
    await save(app);
    await save(app);
    const { dialect, transactions } = (app.spark as unknown as { spark: Inside }).spark;
    const request = { ...claim, queues: [queueOf('mails')] };
    let isPaused = false;
    let claimed = (): void => {};
    // Outside of the transaction's async context, as another request does.
    const pausing = new Promise<void>((resolve) => (claimed = resolve))
      .then(() => app.spark.pauseHandler('mails'))
      .then(() => (isPaused = true));
    await transactions.run(async (manager) => {
      expect((await dialect.claim(manager, request)).rows).toHaveLength(1);
      claimed();
      await delay(200);
      expect(isPaused).toBe(false);
    });
    await pausing;
    expect((await transactions.run((manager) => dialect.claim(manager, request))).rows).toEqual([]);
  });

  it('who reads the table for long keeps nobody from it, nor from claims', async () => {
    const app = await start([Handlers]);
    const reader = app.dataSource.createQueryRunner();
    try {
      if (database.name !== 'SQLite') {
        await reader.startTransaction();
        await reader.query('SELECT * FROM spark_pause');
      }
      const began = performance.now();
      const paused = app.spark.pauseHandler('mails');
      await delay(50);
      await save(app);
      await paused;
      await until(() => expect(app.calls.of('files')).toHaveLength(1));
      expect(performance.now() - began).toBeLessThan(5_000);
      await save(app);
      await until(() => expect(app.calls.of('files')).toHaveLength(2));
      expect(app.calls.of('mails').length).toBeLessThan(2);
      if (database.name === 'MariaDB') {
        const [{ wait }] = await app.dataSource.query('SELECT @@global.lock_wait_timeout AS wait');
        const own = () => app.dataSource.query('SELECT @@lock_wait_timeout AS wait, SLEEP(0.2)');
        for (const rows of await Promise.all(Array.from({ length: 19 }, own))) expect(rows).toMatchObject([{ wait }]);
      }
    } finally {
      if (reader.isTransactionActive) await reader.rollbackTransaction();
      await reader.release();
    }
  });

  it('a retry that is due waits, and a suspect', async () => {
    const clock = new TestClock('2026-06-01T12:00:00Z');
    const app = await idle([Later], { clock });
    const kit = new SparkTestKit(app.app);
    await save(app);
    await kit.drain();
    await app.spark.pauseHandler('later');
    await save(app);
    await app.dataSource.query(
      `UPDATE spark_delivery SET suspect = 1 WHERE event_id = (SELECT id FROM spark_event WHERE event_key = 'note_2')`,
    );
    await kit.advance('2h');
    expect(app.calls.all).toEqual(['later note_1']);
    await app.spark.resumeHandler('later');
    await kit.drain();
    expect(app.calls.all.toSorted()).toEqual(['later note_1', 'later note_1', 'later note_2']);
  });

  it('a pause lasts through a restart, a deploy and a change of name, until it is resumed by any of its names', async () => {
    const former = await idle([Former]);
    await former.spark.pauseHandler('mails');
    await save(former);
    await close(former);

    const renamed = await idle([Renamed]);
    await save(renamed);
    await renamed.spark.drain();
    expect(renamed.calls.all).toEqual([]);
    const handlers = (await renamed.spark.deliveries()).records.map(({ handler }) => handler);
    expect(handlers.toSorted()).toEqual(['letters', 'mails']);

    await renamed.spark.resumeHandler('mails');
    await renamed.spark.drain();
    expect(renamed.calls.all.toSorted()).toEqual(['letters note_1', 'letters note_2']);

    await renamed.spark.pauseHandler('letters');
    await close(renamed);
    const again = await idle([Former]);
    await save(again);
    await again.spark.drain();
    expect(again.calls.all).toEqual([]);
    await again.spark.resumeHandler('letters');
    await again.spark.drain();
    expect(again.calls.all).toEqual(['mails note_3']);
  });

  it('a pause is shown: since when, and why a delivery waits', async () => {
    const clock = new TestClock('2026-06-01T12:00:00Z');
    const app = await idle([Handlers], { clock });
    await app.spark.pauseHandler('mails');
    clock.set(Date.parse('2026-06-01T13:00:00Z'));
    await app.spark.pauseHandler('mails');
    const { id } = await save(app);
    await app.spark.drain();
    const paused = new Date('2026-06-01T12:00:00Z');
    const listed = (await app.spark.handlers()).map((handler) => [handler.handler, handler.available, handler.paused]);
    expect(listed).toEqual([
      ['exact', 0, undefined],
      ['files', 0, undefined],
      ['mails', 1, paused],
      ['one', 0, undefined],
    ]);
    expect((await app.spark.status()).handlers).toEqual(await app.spark.handlers());
    expect((await app.spark.explain(Note, id)).words).toContain(
      'note_1 → mails: waits, as the handler is paused since 2026-06-01T12:00:00.000Z, until resumeHandler.',
    );
    await app.spark.resumeHandler('mails');
    expect((await app.spark.handlers()).filter((handler) => handler.paused)).toEqual([]);
  });

  it('one that nobody knows is refused', async () => {
    const app = await idle([Handlers]);
    await expect(app.spark.pauseHandler('mial')).rejects.toThrow(UnknownHandlerError);
    await expect(app.spark.resumeHandler('mial')).rejects.toThrow(
      'There is no handler named "mial" in any process. Known handlers: exact, files, mails, one.',
    );
    await expect(app.spark.pauseHandler(undefined as unknown as string)).rejects.toThrow(UnknownHandlerError);
    expect(await app.dataSource.query('SELECT * FROM spark_pause')).toEqual([]);
  });

  it('its waiting deliveries cost no writes, and drain leaves them', async () => {
    const log = new Asked();
    const app = await idle([Handlers], { dataSource: { logger: log, logging: true } });
    for (const { handler } of await app.spark.handlers()) await app.spark.pauseHandler(handler);
    // The first one takes the lease.
    await app.spark.drain();
    const asked = async () => {
      log.asked = [];
      await app.spark.drain();
      return log.asked.map(({ sql }) => sql);
    };
    const writing = /^(UPDATE|BEGIN|START)/;
    const without = (await asked()).filter((sql) => writing.test(sql));
    for (let i = 0; i < 3; i++) await save(app);
    const statements = await asked();
    expect(statements.filter((sql) => sql.includes('spark_pause')).length).toBeGreaterThan(0);
    expect(statements.filter((sql) => writing.test(sql))).toEqual(without);
    expect((await app.spark.handlers()).map(({ available }) => available)).toEqual([3, 3, 3, 3]);
    expect(app.calls.all).toEqual([]);
  });

  it('claims go by their index', async () => {
    const log = new Asked();
    const app = await idle([Handlers], { dataSource: { logger: log, logging: true } });
    await fill(app);
    const { dialect, transactions } = (app.spark as unknown as { spark: Inside }).spark;
    log.asked = [];
    await transactions.run((manager) =>
      dialect.claim(manager, { ...claim, queues: ['mails', 'files'].map(queueOf), limit: 10 }),
    );
    const [{ sql, given }] = log.asked.filter((one) => one.sql.includes('spark_pause')) as [Asked['asked'][number]];
    const explain = database.name === 'SQLite' ? 'EXPLAIN QUERY PLAN' : 'EXPLAIN';
    const plan = JSON.stringify(await app.dataSource.query(`${explain} ${sql}`, given));
    expect(plan).toContain('spark_delivery_partition');
    expect(plan).not.toMatch(/Seq Scan on spark_delivery|SCAN spark_delivery|"type":"ALL"/);
  });

  /** So many deliveries that a plan which reads all of them is not the best. */
  async function fill({ dataSource }: TestApp) {
    const rows = {
      SQLite: 'WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 5000) SELECT n FROM x',
      PostgreSQL: 'SELECT generate_series(1, 5000) AS n',
      MariaDB: 'SELECT seq AS n FROM seq_1_to_5000',
    }[database.name];
    const columns = 'event_id, handler, state, attempt, priority, suspect, due_at';
    await dataSource.query(
      `INSERT INTO spark_delivery (${columns}) SELECT 1000000 + n, 'files', 'available', 0, 0, 0, 1 FROM (${rows}) y`,
    );
    await dataSource.query(database.name === 'MariaDB' ? 'ANALYZE TABLE spark_delivery' : 'ANALYZE');
  }
});

const claim = {
  worker: 'w',
  limit: 1,
  connections: 1,
  now: Date.now() + 3_600_000,
  suspect: false,
  durable: false,
  passed: [],
};

const queueOf = (handler: string, of = 0) => ({
  handler,
  priority: 0,
  partition: '',
  from: 0,
  of,
  room: 10,
  connects: false,
});

/** The statements that a DataSource sends, with what they are given. */
class Asked extends AbstractLogger {
  asked: { readonly sql: string; readonly given: unknown[] }[] = [];

  constructor() {
    super('all');
  }

  override logQuery(sql: string, given?: unknown[]): void {
    this.asked.push({ sql, given: given ?? [] });
  }

  protected writeLog(): void {}
}

interface Inside {
  readonly dialect: { claim(manager: object, request: object): Promise<{ rows: object[] }> };
  readonly transactions: { run<T>(work: (manager: object) => Promise<T>): Promise<T> };
}
