import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Column, Entity, type EntityManager, type EntitySubscriberInterface, PrimaryColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { sqliteDriver } from './support/sqlite.js';

@Entity()
class Thing {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

@Injectable()
class Events {
  @EventSource(Thing)
  *now({ id, state }: Thing) {
    yield sparkEvent('now', [id, state]);
  }

  @EventSource(Thing)
  async later({ id, state }: Thing) {
    return [sparkEvent('later', [id, state])];
  }
}

describe.each(databases)('a transaction that goes wrong leaves no ghost, on $name', ({ name, create }) => {
  let db: TestDatabase;
  let app: TestApp;
  let manager: EntityManager;
  let serial = 0;

  beforeAll(async () => {
    db = await create();
    app = await startApp({ database: db, entities: [Thing], providers: [Events], spark: { worker: false } });
    manager = app.dataSource.manager;
  });
  afterEach(() => void app.dataSource.subscribers.splice(1));
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const subscribe = (subscriber: EntitySubscriberInterface) => app.dataSource.subscribers.push(subscriber);
  const keysOf = async (id: number) => {
    await app.spark.drain();
    const rows: { event_key: string }[] = await manager.query(
      `SELECT event_key FROM spark_event WHERE entity_id = '${id}'`,
    );
    return rows.map(({ event_key: key }) => key).sort();
  };
  const make = (m: EntityManager, state = 'made') => m.save(Thing, { id: ++serial, state });
  const events = (id: number, state = 'made') => [`later_${id},${state}`, `now_${id},${state}`];

  it('a statement that failed and was swallowed: what committed has events, and PostgreSQL, which commits nothing, says so', async () => {
    const work = manager.transaction(async (m) => {
      await make(m);
      await m.query('SELECT nonsense FROM nowhere').catch(() => undefined);
    });
    const failed = await work.then(
      () => false,
      () => true,
    );
    const there = await manager.existsBy(Thing, { id: serial });
    expect(failed).toBe(name === 'PostgreSQL');
    expect(there).toBe(!failed);
    expect(await keysOf(serial)).toEqual(there ? events(serial) : []);
  });

  it('another subscriber that throws at COMMIT', async () => {
    subscribe({
      beforeQuery: async ({ query }) => {
        if (query === 'COMMIT') throw new Error('on purpose');
      },
    });
    await expect(manager.transaction((m) => make(m))).rejects.toThrow('on purpose');
    app.dataSource.subscribers.splice(1);
    expect(await manager.existsBy(Thing, { id: serial })).toBe(false);
    expect(await keysOf(serial)).toEqual([]);
  });

  it('another subscriber that throws before COMMIT', async () => {
    subscribe({
      beforeTransactionCommit: () => {
        throw new Error('on purpose');
      },
    });
    await expect(manager.transaction((m) => make(m))).rejects.toThrow('on purpose');
    app.dataSource.subscribers.splice(1);
    expect(await keysOf(serial)).toEqual([]);
  });

  it('another subscriber that saves before COMMIT is seen, late as it is', async () => {
    let own: unknown;
    subscribe({
      beforeTransactionCommit: async ({ queryRunner, manager: late }) => {
        if (queryRunner !== own) return;
        own = undefined;
        await late.save(Thing, { id: ++serial, state: 'late' });
      },
    });
    await manager.transaction((m) => {
      own = m.queryRunner;
      return make(m);
    });
    expect(await keysOf(serial)).toEqual(events(serial, 'late'));
    expect(await keysOf(serial - 1)).toEqual(events(serial - 1));
  });

  it.skipIf(name === 'MariaDB')('a COMMIT that fails, by a constraint that is checked then', async () => {
    await manager.query('CREATE TABLE part (thing INT REFERENCES thing (id) DEFERRABLE INITIALLY DEFERRED)');
    const work = manager.transaction(async (m) => {
      await make(m);
      await m.query('INSERT INTO part (thing) VALUES (-1)');
    });
    await expect(work).rejects.toThrow(/foreign key/i);
    expect(await manager.existsBy(Thing, { id: serial })).toBe(false);
    expect(await keysOf(serial)).toEqual([]);
  });

  it('a nested one that failed and was swallowed, right before COMMIT', async () => {
    await manager.transaction(async (m) => {
      await make(m);
      await m
        .transaction((inner) => make(inner, 'lost').then(() => Promise.reject(new Error())))
        .catch(() => undefined);
    });
    expect(await keysOf(serial)).toEqual([]);
    expect(await keysOf(serial - 1)).toEqual(events(serial - 1));
  });

  describe.skipIf(name !== 'MariaDB')('a dead-lock that was swallowed', () => {
    const update = (id: number) => `UPDATE thing SET state = 'locked' WHERE id = ${id}`;
    const lock = (id: number) => `SELECT state FROM thing WHERE id = ${id} FOR UPDATE`;
    it.each([
      ['in an update', update],
      ['in a select', lock],
    ])('%s: the server has ended the transaction, what follows commits alone', async (_, statement) => {
      const [a, b] = [(await make(manager)).id, (await make(manager)).id];
      const lost = ++serial;
      const cross = (first: number, second: number, extra: (m: EntityManager) => Promise<unknown>) =>
        manager.transaction(async (m) => {
          await extra(m);
          await m.query(statement(first));
          await new Promise((resolve) => setTimeout(resolve, 100));
          await m.query(statement(second)).catch(() => undefined);
        });
      // The server ends the one that has written less. Rows of its own: an update might lock all of the table.
      const rows = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `(${-10 * lost - n}, 'heavy')`);
      const heavy = (m: EntityManager) => m.query(`INSERT INTO thing (id, state) VALUES ${rows.join(', ')}`);
      await Promise.all([cross(b, a, heavy), cross(a, b, (m) => m.save(Thing, { id: lost, state: 'lost' }))]);
      const there = await manager.existsBy(Thing, { id: lost });
      expect(await keysOf(lost)).toEqual(there ? events(lost, 'lost') : []);
      expect(there).toBe(false);
    });
  });

  it.runIf(name === 'SQLite')('a COMMIT that another process holds up is recorded and published once', async () => {
    const Database = sqliteDriver() as new (file: string) => { exec(sql: string): void; close(): void };
    await manager.query('PRAGMA journal_mode = DELETE');
    const other = new Database((db.options as { database: string }).database);
    const received: string[] = [];
    const listening = app.spark.events$.subscribe(({ key }) => received.push(key));
    let commits = 0;
    subscribe({
      beforeQuery: ({ query }) => {
        // One who reads holds up the COMMIT of one who writes, in this mode.
        if (query === 'COMMIT' && ++commits === 3) other.exec('COMMIT');
      },
    });
    try {
      other.exec('BEGIN; SELECT * FROM thing');
      await make(manager);
      expect(commits).toBeGreaterThanOrEqual(3);
      expect(received).toContain(`now_${serial},made`);
      expect(await keysOf(serial)).toEqual(events(serial));
      expect(received.filter((key) => key === `now_${serial},made`)).toHaveLength(1);
    } finally {
      listening.unsubscribe();
      other.close();
      await manager.query('PRAGMA journal_mode = WAL');
    }
  });

  it('a connection that is killed in the middle', async () => {
    const kill: Record<string, string> = {
      PostgreSQL: 'SELECT pg_terminate_backend(pg_backend_pid())',
      MariaDB: 'KILL CONNECTION_ID()',
    };
    if (!kill[name]) return;
    const work = manager.transaction(async (m) => {
      await make(m);
      await m.query(kill[name]!);
    });
    await expect(work).rejects.toBeInstanceOf(Error);
    expect(await keysOf(serial)).toEqual([]);
    await make(manager);
    expect(await keysOf(serial)).toEqual(events(serial));
  });
});
