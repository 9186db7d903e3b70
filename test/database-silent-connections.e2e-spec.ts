import { type DynamicModule, Injectable } from '@nestjs/common';
import {
  EventSource,
  GroupHandler,
  sparkEvent,
  SparkModule,
  type SparkEvent,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, DataSource, type DataSourceOptions, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { StallingProxy } from './support/stalling-proxy.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Injectable()
class Handlers {
  readonly handled: string[] = [];
  during = async (_event: SparkEvent) => {};

  @EventSource(Note)
  async noted({ id }: Note) {
    return [sparkEvent('noted', id)];
  }

  @GroupHandler(/./, { name: 'note', backoff: () => 20 })
  async handle(event: SparkEvent) {
    this.handled.push(event.key);
    await this.during(event);
  }
}

const TIMEOUT = 1_000;

describe.each(databases.filter(({ name }) => name !== 'SQLite'))('connections go silent, on $name', (database) => {
  let db: TestDatabase;
  let direct: DataSource;
  let proxy: StallingProxy;
  let through: TestDatabase;
  let app: TestApp;
  let handlers: Handlers;

  beforeEach(async () => {
    db = await database.create();
    const { url } = db.options as { url: string };
    const started = await StallingProxy.start(url, database.name === 'PostgreSQL' ? 5432 : 3306);
    proxy = started.proxy;
    through = {
      ...db,
      options: { ...db.options, url: started.url, socketPath: undefined, poolSize: 6 } as DataSourceOptions,
    };
    app = await start();
    handlers = app.app.get(Handlers);
    direct = await new DataSource(db.options).initialize();
    await app.dataSource.manager.save(Note, { text: 'before' });
    await until(() => handlers.handled.length === 1);
  });
  afterEach(async () => {
    proxy.resume();
    await app?.close();
    await direct.destroy();
    await proxy.stop();
    await db.drop();
  });

  const start = (spark: SparkModuleOptions | DynamicModule = {}) =>
    startApp({
      database: through,
      entities: [Note],
      providers: [Handlers],
      spark:
        'module' in spark
          ? spark
          : {
              statementTimeout: TIMEOUT,
              shutdownTimeout: 1_000,
              worker: { pollInterval: '50ms', leaseTtl: '3s', concurrency: 3 },
              ...spark,
            },
    });
  const until = async (isSo: () => boolean | Promise<boolean>) => {
    for (const started = Date.now(); Date.now() - started < 25_000; await delay(20)) if (await isSo()) return;
    throw new Error('it never came to that');
  };
  const said = (words: string) => app.logs.filter((line) => line.includes(words)).length;
  /** What somebody else writes, whose network is well. */
  const write = async (key: string) => {
    await direct.query(`INSERT INTO spark_event (event_key, event_group, recorded_at, depth${database.name === 'MariaDB' ? ', token' : ''})
      VALUES ('${key}', 'thing', 0, 0${database.name === 'MariaDB' ? `, ''` : ''})`);
    await direct.query(`INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
      SELECT id, 'note', 'available', 0, 0, 0, 0 FROM spark_event WHERE event_key = '${key}'`);
  };
  const completed = async (key: string) => {
    const [row] = await direct.query(
      `SELECT d.state AS state FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id WHERE e.event_key = '${key}'`,
    );
    return row?.state === 'completed';
  };

  it('those that there are: work goes on by new ones, and it is said once, and once more', async () => {
    proxy.stall({ newOnes: false });
    await write('thing_1');
    await until(() => completed('thing_1'));
    await until(() => said('The database answers Spark again') > 0);
    await delay(2 * TIMEOUT);
    expect(said('warn The database did not answer a statement')).toBeLessThanOrEqual(2);
    expect(said('The database answers Spark again')).toBeLessThanOrEqual(2);
    expect(await app.dataSource.manager.count(Note)).toBe(1);
  });

  it('and new ones, too, for longer than leases: work goes on when the network is back', async () => {
    proxy.stall();
    await write('thing_2');
    await delay(4_000);
    expect(handlers.handled).not.toContain('thing_2');
    // Afterwards, a busy database may be silent once more.
    expect(said('Spark logs this once')).toBeGreaterThan(0);
    expect(said('Spark logs this once')).toBeLessThanOrEqual(3);
    proxy.resume();
    await until(() => completed('thing_2'));
    // All places of the pool are there again.
    const counts = await Promise.all(Array.from({ length: 6 }, () => app.dataSource.manager.count(Note)));
    expect(counts).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('in the midst of a transaction: the server lets go of what that holds, and nothing waits for it', async () => {
    let isFirst = true;
    handlers.during = async ({ key }) => {
      if (key !== 'thing_8' || !isFirst) return;
      isFirst = false;
      proxy.stallAtCommitAfter('last_error');
      throw new Error('not yet');
    };
    await write('thing_8');
    await until(() => completed('thing_8'));
  });

  it('while a handler is at work: what it has done is written down, and it is not called again', async () => {
    handlers.during = async ({ key }) => {
      if (key === 'thing_3') proxy.stall({ newOnes: false });
    };
    await write('thing_3');
    await until(() => completed('thing_3'));
    expect(handlers.handled.filter((key) => key === 'thing_3')).toHaveLength(1);
  });

  it('a shutdown keeps to its time, even where new ones are silent, too', async () => {
    proxy.stall();
    await delay(200);
    const started = performance.now();
    await app.close();
    expect(performance.now() - started).toBeLessThan(10_000);
    app = undefined as unknown as TestApp;
  });

  it('a shutdown keeps to its time after hours of it', async () => {
    proxy.stall();
    await until(() => said('Spark logs this once') > 0);
    await delay(2_000);
    const started = performance.now();
    await app.close();
    expect(performance.now() - started).toBeLessThan(10_000);
    app = undefined as unknown as TestApp;
  });

  it('statements of the application wait as long as they like', async () => {
    const slow = database.name === 'PostgreSQL' ? 'SELECT pg_sleep(2.5)' : 'SELECT SLEEP(2.5)';
    let ended = false;
    handlers.during = async ({ key }) => {
      if (key !== 'thing_4') return;
      await app.dataSource.transaction((manager) => manager.query(slow));
      ended = true;
    };
    await write('thing_4');
    await until(() => completed('thing_4'));
    expect(ended).toBe(true);
    expect(said('did not answer')).toBe(0);
  });

  it.each([
    ['while Spark looks for its tables', 'spark_version', /\(SELECT/],
    ['while it registers its handlers', 'revision, last_seen_at', /\(SELECT name, version, pattern/],
  ])('at boot, %s: it does not start, and says which statement it waited for', async (_, text, words) => {
    await app.close();
    app = undefined as unknown as TestApp;
    const stallAt = { useFactory: () => (proxy.stallAt(text), { statementTimeout: TIMEOUT }) };
    const starting = start(SparkModule.forRootAsync(stallAt));
    await expect(starting).rejects.toThrow(
      /did not answer a statement of Spark within .* ms .*raise SparkModule's statementTimeout/,
    );
    await expect(starting).rejects.toThrow(words);
  });

  it.runIf(database.name === 'PostgreSQL')('the one that listens is replaced, and notifies again', async () => {
    proxy.stall({ newOnes: false });
    await until(() => said('Notifications of other processes arrive again') > 0);
    expect(said('Notifications of other processes do not arrive for now')).toBe(1);
  });
});
