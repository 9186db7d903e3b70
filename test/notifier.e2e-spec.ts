import { getEventListeners } from 'node:events';
import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Client } from 'pg';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Injectable()
class Sources {
  @EventSource(Note)
  *now({ id }: Note) {
    yield sparkEvent('now', id);
  }

  @EventSource(Note)
  async later({ id }: Note) {
    return [sparkEvent('later', id)];
  }
}

@Injectable()
class Handlers {
  readonly handled = new Map<string, number>();

  @GroupHandler(/./, { name: 'note' })
  handle({ key }: SparkEvent) {
    this.handled.set(key, Date.now());
  }
}

interface Inside {
  spark: { notifier: { common: string; client: Client | undefined; stopping: AbortController } };
}

// No poll comes within a test; on MariaDB it is what quickens.
const SELDOM = '10m';

describe.each(databases)('a process is notified by the others, on $name', (database) => {
  let db: TestDatabase;
  const apps: TestApp[] = [];

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (options: Pick<TestAppOptions, 'providers' | 'spark'>) => {
    const app = await startApp({ database: db, entities: [Note], ...options });
    apps.push(app);
    return app;
  };
  const handler = () => start({ providers: [Sources, Handlers], spark: { worker: { pollInterval: SELDOM } } });
  const recorder = () => start({ providers: [Sources], spark: { worker: false } });
  const handled = async (app: TestApp, key: string) => {
    for (let i = 0; i < 400; i++) {
      if (app.app.get(Handlers).handled.has(key)) return true;
      await delay(10);
    }
    return false;
  };
  it('that recorded what it handles', async () => {
    const [handling, recording] = [await handler(), await recorder()];
    await settled();
    const { id } = await recording.dataSource.manager.save(Note, { text: 'a' });
    expect(await handled(handling, `now_${id}`)).toBe(true);
    expect(await handled(handling, `later_${id}`)).toBe(true);
  });

  it('that recorded what it is to recheck', async () => {
    const [rechecking, recording] = [await handler(), await recorder()];
    await settled();
    // It is too busy to recheck its own.
    (recording.spark as unknown as { spark: { recheckRunner: { halt(): void } } }).spark.recheckRunner.halt();
    const { id } = await recording.dataSource.manager.save(Note, { text: 'b' });
    expect(await handled(rechecking, `later_${id}`)).toBe(true);
  });

  it('and notifications that find nothing are joined', async () => {
    const { spark } = (await handler()).spark as unknown as {
      spark: { workerTicker: { trigger(): void }; worker: { fill(rest: number): Promise<number> } };
    };
    await settled();
    const { workerTicker, worker } = spark;
    const { fill } = worker;
    const claims: number[] = [];
    worker.fill = (rest) => {
      claims.push(rest);
      return fill.call(worker, rest);
    };
    const since = performance.now();
    while (claims.length <= 40) {
      workerTicker.trigger();
      await delay(0);
    }
    expect(performance.now() - since).toBeGreaterThan(40 * 4);
  });

  const settled = () => delay(database.name === 'PostgreSQL' ? 300 : 50);

  describe.runIf(database.name === 'PostgreSQL')('by NOTIFY', () => {
    const connections = async (app: TestApp) => {
      const ours = `SELECT COUNT(*) AS n FROM pg_stat_activity WHERE datname = current_database()`;
      return Number((await app.dataSource.query(ours))[0].n);
    };
    const channelOf = (app: TestApp) => (app.spark as unknown as Inside).spark.notifier.common;

    it('again after its connection was cut', async () => {
      const [handling, recording] = [await handler(), await recorder()];
      await settled();
      await recording.dataSource.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query LIKE '%pg_notify%')`,
      );
      await delay(1_000);
      const { id } = await recording.dataSource.manager.save(Note, { text: 'c' });
      expect(await handled(handling, `now_${id}`)).toBe(true);
      expect(recording.logs.join('\n')).toContain(
        'Notifications of other processes do not arrive for now, so Spark only polls',
      );
    });

    it('and whatever else is sent on its channel, it goes on', async () => {
      const [handling, recording] = [await handler(), await recorder()];
      await settled();
      const channel = channelOf(handling);
      const sent = ['nonsense', 'null', '5', '"text"', '[]', '[null]', '', '{', '{"from":null}', '{"from":{}}'];
      const hostile = [...sent, '{"rechecks":{},"deliveries":[]}', '{"__proto__":null}', 'x'.repeat(7_999)];
      for (const payload of hostile) await handling.dataSource.query('SELECT pg_notify($1, $2)', [channel, payload]);
      await handling.dataSource.query(`NOTIFY ${channel}`);
      const { id } = await recording.dataSource.manager.save(Note, { text: 'hostile' });
      expect(await handled(handling, `now_${id}`)).toBe(true);
    });

    it('and its connection may fail more than once, or late', async () => {
      const [handling, recording] = [await handler(), await recorder()];
      await settled();
      const client = (handling.spark as unknown as Inside).spark.notifier.client!;
      for (let i = 0; i < 3; i++) client.emit('error', new Error('on purpose'));
      await delay(500);
      client.emit('error', new Error('on purpose, late'));
      const { id } = await recording.dataSource.manager.save(Note, { text: 'late' });
      expect(await handled(handling, `now_${id}`)).toBe(true);
    });

    it('and leaves nothing behind for each connection that it lost', async () => {
      const handling = await handler();
      const { notifier } = (handling.spark as unknown as Inside).spark;
      const clients = new Set<Client>();
      for (let i = 0; i < 1_000 && clients.size < 4; i++) {
        if (notifier.client && !clients.has(notifier.client)) {
          clients.add(notifier.client);
          notifier.client.emit('error', new Error('on purpose'));
        }
        await delay(10);
      }
      expect(clients.size).toBe(4);
      expect(getEventListeners(notifier.stopping.signal, 'abort').length).toBeLessThanOrEqual(2);
    });

    it('with few notifications for many saves', async () => {
      // Deliveries wait for its handler, and no process is there that could be notified alone.
      const { close } = await handler();
      apps.pop();
      await close();
      const recording = await recorder();
      await settled();
      const client = new Client({ connectionString: (db.options as { url: string }).url });
      await client.connect();
      const channel = channelOf(recording);
      let notifications = 0;
      client.on('notification', () => notifications++);
      await client.query(`LISTEN ${channel}`);
      const started = Date.now();
      const save = () => recording.dataSource.manager.save(Note, { text: 'd' });
      for (let i = 0; i < 30; i++) await Promise.all(Array.from({ length: 10 }, save));
      const took = Date.now() - started;
      await delay(200);
      await client.end();
      expect(notifications).toBeGreaterThan(0);
      expect(notifications).toBeLessThanOrEqual(took / 10 + 10);
    });

    it('and says once that it is deaf, where NOTIFY does not arrive', async () => {
      const app = await startApp({
        database: db,
        entities: [Note],
        providers: [Sources, Handlers],
        spark: { worker: { pollInterval: '100ms' } },
        // As a pooler does, its LISTEN ends with the statement.
        dataSource: { extra: { Client: Deaf } },
      });
      apps.push(app);
      for (
        let i = 0;
        i < 400 && !app.logs.some((line) => line.includes('Notifications (NOTIFY) do not arrive here'));
        i++
      )
        await delay(10);
      expect(app.logs.filter((line) => line.includes('Notifications (NOTIFY) do not arrive here'))).toHaveLength(1);
      const { id } = await app.dataSource.manager.save(Note, { text: 'e' });
      expect(await handled(app, `now_${id}`)).toBe(true);
    });

    it('and leaves no connection behind', async () => {
      const watching = await startApp({ database: db, entities: [Note], providers: [], spark: { worker: false } });
      apps.push(watching);
      await settled();
      const before = await connections(watching);
      const handling = await handler();
      await settled();
      expect(await connections(watching)).toBeGreaterThan(before);
      await handling.close();
      apps.splice(apps.indexOf(handling), 1);
      for (let i = 0; i < 100 && (await connections(watching)) > before; i++) await delay(20);
      expect(await connections(watching)).toBe(before);
    });
  });
});

/** Receives nothing: as behind a pooler, its LISTEN is over with the statement. */
class Deaf extends Client {
  override query(...args: any[]): any {
    const [sql] = args as [unknown];
    return (super.query as (...all: any[]) => any).apply(
      this,
      typeof sql === 'string' && sql.startsWith('LISTEN') ? ['SELECT 1'] : args,
    );
  }
}
