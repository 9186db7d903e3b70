import { Injectable, type Type } from '@nestjs/common';
import {
  EventSource,
  GroupHandler,
  type HandlerScope,
  sparkEvent,
  type SparkEvent,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { aroundStatements } from './support/query-runners.js';
import { type Program, program } from './support/processes.js';

@Entity()
class Effect {
  @PrimaryGeneratedColumn() id: number;
  @Column() key: string;
}

@Injectable()
class Deferred {
  @EventSource(Effect) async effects({ id }: Effect) {
    return [sparkEvent('effect', id)];
  }
}

const calls: string[] = [];

@Injectable()
class Endless {
  @GroupHandler(/./, { name: 'endless' })
  async handle(_event: SparkEvent, { signal }: HandlerScope) {
    calls.push('begun');
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    calls.push(`stopped: ${(signal.reason as Error).name}`);
  }
}

@Injectable()
class Deaf {
  @GroupHandler(/./, { name: 'deaf', transactional: true })
  async handle({ key }: SparkEvent, { manager }: HandlerScope) {
    await manager.save(Effect, { key });
    calls.push('begun');
    await delay(20_000, undefined, { ref: false });
  }
}

@Injectable()
class Slow {
  @GroupHandler(/./, { name: 'slow' })
  async handle() {
    calls.push('begun');
    await delay(150);
  }
}

/** Lets the answer of a statement come late. Resolves when it is under way for the first time. */
function slowedDown({ dataSource }: TestApp, statement: RegExp, by: number): Promise<void> {
  return new Promise((begun) => {
    aroundStatements(dataSource, async (text, send) => {
      const answer = await send();
      if (!statement.test(text)) return answer;
      begun();
      await delay(by);
      return answer;
    });
  });
}

describe.each(databases)('a shutdown loses nothing, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let next: TestApp;

  beforeEach(async () => {
    calls.length = 0;
    db = await database.create();
  });
  afterEach(async () => {
    await next.close();
    await db.drop();
  });

  /** Starts a process, gives it two deliveries, ends it when it handles so many, and reads what is left. */
  const shutDown = async (handlers: Type, begun: number, spark: SparkModuleOptions = {}) => {
    const worker = { pollInterval: '20ms', ...spark.worker };
    app = await startApp({ database: db, entities: [Effect], providers: [handlers], spark: { ...spark, worker } });
    await app.spark.emit([sparkEvent('thing', 1), sparkEvent('thing', 2)]);
    for (let i = 0; i < 300 && calls.length < begun; i++) await delay(10);
    // It asks for more, where it has a place left.
    await delay(50);
    const started = performance.now();
    await app.close();
    const took = performance.now() - started;
    await delay(50);
    next = await startApp({ database: db, entities: [Effect], spark: { worker: false } });
    const rows = await next.dataSource.query('SELECT state, attempt, suspect, claimed_by FROM spark_delivery');
    expect(await next.dataSource.query('SELECT * FROM spark_worker')).toEqual([]);
    return { rows: rows as object[], took, warnings: app.logs.filter((line) => line.startsWith('warn')) };
  };
  const untouched = { state: 'available', attempt: 0, suspect: 0, claimed_by: null };
  const saidOf = (count: number, after = 200) =>
    `warn ${count} handlers were still running after ${after} ms; their deliveries are given back.`;

  it('gives back what was not done, with its attempt, and says so in one line', async () => {
    const { rows, warnings } = await shutDown(Endless, 2, { shutdownTimeout: 200 });
    expect(calls.filter((call) => call === 'stopped: WorkerStoppedError')).toHaveLength(2);
    expect(rows).toEqual([untouched, untouched]);
    expect(warnings).toEqual([saidOf(2)]);
  });

  it('waits no longer where a handler is deaf in its transaction, which is rolled back', async () => {
    const { rows, took, warnings } = await shutDown(Deaf, database.name === 'SQLite' ? 1 : 2, { shutdownTimeout: 200 });
    expect(took).toBeLessThan(2_000);
    expect(rows).toEqual([untouched, untouched]);
    expect(await next.dataSource.manager.count(Effect)).toBe(0);
    // On SQLite the handler has kept everybody else from the one connection.
    if (database.name === 'SQLite') expect(warnings).toContain(saidOf(2));
    else expect(warnings).toEqual([saidOf(2)]);
  });

  it('waits no longer where all places are taken', async () => {
    const options = { shutdownTimeout: 2_000, worker: { concurrency: 1 } };
    const { rows, took, warnings } = await shutDown(Endless, 1, options);
    expect(took).toBeLessThan(3_900);
    expect(rows).toEqual([untouched, untouched]);
    expect(warnings).toEqual([saidOf(1, 2_000)]);
  });

  it('lets what is running end, and begins nothing new', async () => {
    const { rows, warnings } = await shutDown(Slow, 1, { worker: { concurrency: 1 } });
    expect(calls).toEqual(['begun']);
    expect(rows).toEqual(expect.arrayContaining([untouched, expect.objectContaining({ state: 'completed' })]));
    expect(warnings).toEqual([]);
  });

  it('what is being claimed of rechecks at that moment is worked off: nobody waits for the claim to expire', async () => {
    app = await startApp({ database: db, entities: [Effect], providers: [Deferred] });
    const claiming = slowedDown(app, /UPDATE \S*spark_recheck\S* SET taken_by/, 300);
    await app.dataSource.manager.save(Effect, { key: 'a' });
    await claiming;
    await app.close();
    next = await startApp({ database: db, entities: [Effect], spark: { worker: false } });
    expect(await next.dataSource.query('SELECT taken_by FROM spark_recheck')).toEqual([]);
    expect(await next.dataSource.query('SELECT event_key FROM spark_event')).toEqual([{ event_key: 'effect_1' }]);
  });
});

describe('a process that nobody can stop gently', () => {
  let unstoppable: Program;

  beforeAll(async () => {
    unstoppable = await program('unstoppable.program.ts');
  });
  afterAll(() => unstoppable.remove());

  const warningsOf = async (input: { listens: boolean; worker: boolean }) => {
    const logs: string[] = await unstoppable.start(input).result;
    return logs.filter((line) => /^warn Nothing listens for SIGTERM.*enableShutdownHooks\(\)/.test(line)).length;
  };

  it('logs a warning once', async () => {
    expect(await warningsOf({ listens: false, worker: true })).toBe(1);
  });

  it('and nobody else is', async () => {
    expect(
      await Promise.all([warningsOf({ listens: true, worker: true }), warningsOf({ listens: false, worker: false })]),
    ).toEqual([0, 0]);
  });
});
