import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, Entity, type EntityManager, PrimaryGeneratedColumn, type TransactionStartEvent } from 'typeorm';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Effect {
  @PrimaryGeneratedColumn() id: number;
  @Column() key: string;
}

const late: Promise<unknown>[] = [];
/** Which handlers were called, whatever became of what they wrote. */
const called: string[] = [];
const options = { transactional: true, maxAttempts: 3, backoff: () => 10 };

@Injectable()
class Handlers {
  @GroupHandler(/^plain/, { ...options, name: 'plain' })
  async plain({ key }: SparkEvent, { manager }: HandlerScope) {
    await manager.save(Effect, { key });
  }

  @GroupHandler(/^fails/, { ...options, name: 'fails' })
  async fails({ key }: SparkEvent, { manager, attempt }: HandlerScope) {
    await manager.save(Effect, { key });
    if (attempt < 3) throw new Error('on purpose');
  }

  @GroupHandler(/^late/, { ...options, name: 'late', timeout: 60 })
  async late({ key }: SparkEvent, { manager, attempt }: HandlerScope) {
    await manager.save(Effect, { key });
    if (attempt === 3) return;
    const writes = (async () => {
      await delay(100);
      for (let i = 0; i < 5; i++)
        await manager.query(`INSERT INTO effect (${quoted(manager.dataSource.options.type)}) VALUES ('ghost')`);
    })();
    late.push(writes.catch((error: Error) => error));
    await writes;
  }

  // Work that goes on without a pause has a statement under way when its time is over, and sends the next one behind the ROLLBACK.
  @GroupHandler(/^busy/, { ...options, name: 'busy', timeout: 60 })
  async busy({ key }: SparkEvent, { manager, attempt }: HandlerScope) {
    const { type } = manager.dataSource.options;
    if (attempt === 3) {
      await manager.save(Effect, { key });
      return;
    }
    const writes = (async () => {
      for (;;) {
        await manager.query(`INSERT INTO effect (${quoted(type)}) VALUES ('ghost')`);
        if (type === 'better-sqlite3') await delay(1);
      }
    })();
    late.push(writes.catch((error: Error) => error));
    await writes;
  }

  // Work that nobody waits for, and that goes on once all is over.
  @GroupHandler(/^leaves/, { ...options, name: 'leaves' })
  async leaves({ key }: SparkEvent, { manager }: HandlerScope) {
    await manager.save(Effect, { key });
    const { dataSource } = manager;
    const writes = (async () => {
      const isDone = `SELECT id FROM spark_delivery WHERE handler = 'leaves' AND state = 'completed'`;
      while ((await dataSource.query(isDone)).length === 0) await delay(10);
      await delay(20);
      await manager.query(`INSERT INTO effect (${quoted(dataSource.options.type)}) VALUES ('ghost')`);
    })();
    late.push(writes.catch((error: Error) => error));
  }

  @GroupHandler(/^swallows/, { ...options, name: 'swallows' })
  async swallows({ key }: SparkEvent, { manager, attempt }: HandlerScope) {
    await manager.save(Effect, { key });
    if (attempt < 3) await undoing(manager).catch(() => undefined);
  }

  @GroupHandler(/^writes/, { ...options, name: 'writes' })
  async writes({ key }: SparkEvent, { manager, attempt }: HandlerScope) {
    if (attempt < 3) await undoing(manager).catch(() => undefined);
    await manager.query(`INSERT INTO effect (${quoted(manager.dataSource.options.type)}) VALUES ('${key}')`);
  }

  @GroupHandler(/^ends/, { ...options, name: 'ends' })
  async ends({ key }: SparkEvent, { manager, attempt }: HandlerScope) {
    await manager.save(Effect, { key });
    if (attempt < 3) await manager.query('ROLLBACK');
  }

  @GroupHandler(/^lost/, { ...options, name: 'lost' })
  async lost({ key }: SparkEvent, { manager }: HandlerScope) {
    called.push(key);
    await manager.save(Effect, { key });
  }

  @EventSource(Effect)
  *derived({ key }: Effect) {
    if (key.startsWith('plain')) yield sparkEvent('derived', key);
  }
}

/** A statement on which the database undoes the whole transaction, each in its own way. */
async function undoing(manager: EntityManager): Promise<unknown> {
  const { type } = manager.dataSource.options;
  if (type === 'better-sqlite3') return manager.query('INSERT OR ROLLBACK INTO effect (id) VALUES (NULL)');
  if (type === 'postgres') return manager.query('SELECT 1 / 0');
  return deadlock(manager);
}

/** Has the manager's transaction chosen as the victim of a dead-lock: it has written less than the other one. */
async function deadlock(manager: EntityManager): Promise<void> {
  const one = `UPDATE locks SET n = n + 1 WHERE name = 'a'`;
  const many = `UPDATE locks SET n = n + 1 WHERE name > 'b'`;
  await manager.query(one);
  await manager.dataSource.transaction(async (other) => {
    await other.query(many);
    const waiting = other.query(one);
    await delay(50);
    const failure = await manager.query(many).catch((error: Error) => error);
    await waiting;
    if (failure instanceof Error) return;
    throw new Error('nobody was chosen');
  });
  throw new Error('dead-lock');
}

const quoted = (type: string) => (type === 'postgres' || type === 'better-sqlite3' ? '"key"' : '`key`');

describe.each(databases)('transactional effects happen once, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    late.length = called.length = 0;
    db = await database.create();
    const spark = { worker: { pollInterval: '20ms' } };
    app = await startApp({ database: db, entities: [Effect], providers: [Handlers], spark });
    await app.dataSource.query('CREATE TABLE locks (name VARCHAR(10) PRIMARY KEY, n INT NOT NULL)');
    const names = ['a', ...Array.from({ length: 20 }, (_, i) => `b${i}`)];
    await app.dataSource.query(`INSERT INTO locks VALUES ${names.map((name) => `('${name}', 0)`).join(', ')}`);
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const stateOf = async (handler: string) => {
    const sql = `SELECT state, attempt, duration_ms FROM spark_delivery WHERE handler = '${handler}'`;
    for (let i = 0; i < 400; i++) {
      const [row] = await app.dataSource.query(sql);
      if (row && !['available', 'running'].includes(row.state))
        return row as { state: string; attempt: number; duration_ms: number };
      await delay(10);
    }
    throw new Error('never done');
  };
  const effects = (key: string) => app.dataSource.manager.countBy(Effect, { key });

  it('with the completion, and so do the events that they make true', async () => {
    await app.spark.emit(sparkEvent('plain', 1));
    expect(await stateOf('plain')).toMatchObject({ state: 'completed', attempt: 1 });
    expect((await stateOf('plain')).duration_ms).toBeGreaterThanOrEqual(0);
    expect(await effects('plain_1')).toBe(1);
    expect(await app.dataSource.query(`SELECT depth FROM spark_event WHERE event_group = 'derived'`)).toEqual([
      { depth: 1 },
    ]);
  });

  it('after failures that were rolled back', async () => {
    await app.spark.emit(sparkEvent('fails', 1));
    expect(await stateOf('fails')).toMatchObject({ state: 'completed', attempt: 3 });
    expect(await effects('fails_1')).toBe(1);
  });

  it('after time-outs, whatever late work still tries to write', async () => {
    await app.spark.emit(sparkEvent('late', 1));
    expect(await stateOf('late')).toMatchObject({ state: 'completed', attempt: 3 });
    const errors = await Promise.all(late);
    expect(errors).toHaveLength(2);
    expect(errors.every((error) => error instanceof Error)).toBe(true);
    expect(await effects('late_1')).toBe(1);
    expect(await effects('ghost')).toBe(0);
  });

  it('after time-outs, though the late work never pauses', async () => {
    late.length = 0;
    await app.spark.emit(sparkEvent('busy', 1));
    expect(await stateOf('busy')).toMatchObject({ state: 'completed', attempt: 3 });
    expect((await Promise.all(late)).every((error) => error instanceof Error)).toBe(true);
    expect(await effects('busy_1')).toBe(1);
    expect(await effects('ghost')).toBe(0);
  });

  it('once and for all: work that they left behind writes nothing more', async () => {
    late.length = 0;
    await app.spark.emit(sparkEvent('leaves', 1));
    expect(await stateOf('leaves')).toMatchObject({ state: 'completed', attempt: 1 });
    expect(await Promise.all(late)).toEqual([expect.any(Error)]);
    expect([await effects('leaves_1'), await effects('ghost')]).toEqual([1, 0]);
  });

  it.each(['swallows', 'writes', 'ends'])(
    'after their transaction was undone and the handler went on: it %s',
    async (how) => {
      await app.spark.emit(sparkEvent(how, 1));
      expect(await stateOf(how)).toMatchObject({ state: 'completed', attempt: 3 });
      expect(await effects(`${how}_1`)).toBe(1);
    },
  );

  it('not at all where another process has taken the delivery over', async () => {
    // The row is taken between the claim and the handler's transaction, as a rescuer would.
    const taken: number[] = [];
    const take = {
      beforeTransactionStart: async ({ queryRunner }: TransactionStartEvent) => {
        const changes = `claimed_by = 'rival', attempt = attempt + 1`;
        const sql = `UPDATE spark_delivery SET ${changes} WHERE handler = 'lost' AND state = 'running' AND claimed_by <> 'rival'`;
        const { affected } = await queryRunner.query(sql, [], true);
        if (affected) taken.push(affected);
      },
    };
    app.dataSource.subscribers.push(take);
    await app.spark.emit(sparkEvent('lost', 1));
    const isLogged = () => app.logs.some((line) => line.includes('lost_1 for lost was taken over by another process'));
    for (let i = 0; i < 2_000 && !isLogged(); i++) await delay(10);
    app.dataSource.subscribers.pop();
    expect(taken).toEqual([1]);
    expect(await effects('lost_1')).toBe(0);
    // What it does elsewhere is nobody's to undo.
    expect(called).toEqual([]);
    expect(isLogged()).toBe(true);
  });

  it('also where completed deliveries are removed at once', async () => {
    await app.close();
    const spark = { worker: { pollInterval: '20ms' }, history: false };
    app = await startApp({ database: db, entities: [Effect], providers: [Handlers], spark });
    const groups = ['plain', 'fails', 'swallows', 'writes', 'ends'];
    for (const group of groups) {
      await app.spark.emit(sparkEvent(group, 2));
      const sql = `SELECT state FROM spark_delivery WHERE handler = '${group}' AND state <> 'completed'`;
      for (let i = 0; i < 400 && (await app.dataSource.query(sql)).length > 0; i++) await delay(10);
      expect(await app.dataSource.query(sql)).toEqual([]);
    }
    expect(await Promise.all(groups.map((group) => effects(`${group}_2`)))).toEqual(groups.map(() => 1));
  });
});
