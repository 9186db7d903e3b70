import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, snapshot, sparkEvent, type SparkEvent, UnknownEntityError } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Person {
  @PrimaryColumn() id: number;
  @Column() name: string;
  @Column({ default: 0 }) visits: number;
}

@Entity()
class Stranger {
  @PrimaryColumn() id: number;
}

const handled: string[] = [];
let mode: 'well' | 'blocked' | 'blocked and failing' = 'well';
let finish: () => void;
let finished: Promise<void>;

@Injectable()
class People {
  @EventSource(Person, { name: 'people' }) *people(person: Person) {
    yield sparkEvent('person', person.id, { person: snapshot(person) });
    for (let i = 1; i <= person.visits; i++)
      yield sparkEvent('visit', person.id, { by: person.name }, { occurrence: i });
  }

  @GroupHandler(/^person/, { name: 'mails' })
  async mail({ key }: SparkEvent) {
    handled.push(`mails ${key}`);
    if (mode !== 'well') await finished;
    if (mode === 'blocked and failing') throw new Error('No mail for Ada');
  }
  @GroupHandler(/^(person|visit)/, { name: 'broken', maxAttempts: 1 })
  broken({ key, context }: SparkEvent<{ person?: Person; by?: string }>) {
    handled.push(`broken ${key}`);
    throw new Error(`No letter for ${context.person?.name ?? context.by}`);
  }
  @GroupHandler(/^person/, { name: 'later', backoff: () => '1h' })
  later({ key, context }: SparkEvent<{ person: Person }>) {
    handled.push(`later ${key}`);
    throw new Error(`Not now, ${context.person.name}`);
  }
}

const ENTITIES = [Person];

describe.each(databases)('erase, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
    handled.length = 0;
    mode = 'well';
    finished = new Promise((resolve) => (finish = resolve));
    const spark = { worker: { pollInterval: '1h' as const } };
    app = await startApp({ database: db, entities: ENTITIES, providers: [People], spark });
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const sql = (text: string) => app.dataSource.query(text) as Promise<any[]>;
  const TABLES = ['event', 'delivery', 'attempt', 'recheck'];
  /** All that is in Spark's tables. */
  const dump = async () => {
    const rows = [];
    for (const table of TABLES) rows.push(await sql(`SELECT * FROM spark_${table} ORDER BY id`));
    return JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? String(value) : value));
  };
  /** As what was recorded with an event, and of an attempt that failed. */
  const addMetadataAndAttempts = async () => {
    await sql(`UPDATE spark_event SET metadata = '{"from":"Ada"}' WHERE entity_id = '1'`);
    await sql(`UPDATE spark_delivery SET fingerprint = '0123456789abcdef' WHERE last_error IS NOT NULL`);
    const columns = 'delivery_id, attempt, host, pid, started_at, duration_ms, error, fingerprint';
    await sql(
      `INSERT INTO spark_attempt (${columns}) SELECT d.id, 1, 'host', 1, 1, 1, CONCAT('failed of ', e.entity_id), 'f'
       FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id`.replace(
        `CONCAT('failed of ', e.entity_id)`,
        database.name === 'SQLite' ? `'failed of ' || e.entity_id` : `CONCAT('failed of ', e.entity_id)`,
      ),
    );
  };
  const deliveries = async (filter: object) => {
    const { records } = await app.spark.deliveries(filter);
    return records.map(({ event, handler, state, error }) => `${handler} ${event.key} ${state}: ${error}`).sort();
  };

  it('removes what Spark holds of one entity, and of nobody else', async () => {
    const { manager } = app.dataSource;
    await manager.save(Person, [
      { id: 1, name: 'Ada', visits: 3 },
      { id: 2, name: 'Grace', visits: 1 },
    ]);
    await app.spark.drain();
    await addMetadataAndAttempts();
    const before = await dump();
    expect(before).toContain('Ada');
    await manager.delete(Person, 1);

    const planned = await app.spark.erase(Person, 1, { dryRun: true });
    expect(planned).toEqual({ events: 4, discarded: 1, running: 0 });
    expect(await dump()).toBe(before);

    expect(await app.spark.erase(Person, 1)).toEqual(planned);
    const after = await dump();
    expect(after).not.toContain('Ada');
    expect(after).not.toContain('failed of 1');
    expect(after).toContain('failed of 2');
    expect(after).toContain('Grace');
    expect(await deliveries({ entity: Person, id: 1 })).toEqual([
      'broken person_1 discarded: erased',
      ...[1, 2, 3].map((i) => `broken visit_1@${i} discarded: erased`),
      'later person_1 discarded: erased',
      'mails person_1 completed: undefined',
    ]);
    expect(await deliveries({ entity: Person, id: 2 })).toEqual([
      expect.stringMatching(/^broken person_2 discarded: Error: No letter for Grace/),
      expect.stringMatching(/^broken visit_2@1 discarded: Error: No letter for Grace/),
      expect.stringMatching(/^later person_2 available: Error: Not now, Grace/),
      'mails person_2 completed: undefined',
    ]);
    expect(await sql(`SELECT fingerprint FROM spark_delivery WHERE fingerprint IS NOT NULL`)).toHaveLength(3);
  });

  it('keeps the keys: nothing happens again, and retry leaves what was erased alone', async () => {
    const { manager } = app.dataSource;
    await manager.save(Person, { id: 1, name: 'Ada', visits: 1 });
    await app.spark.drain();
    expect(handled).toHaveLength(4);
    await manager.update(Person, 1, { name: 'somebody' });
    await app.spark.drain();
    await app.spark.erase(Person, 1);
    expect((await app.spark.events({ entity: Person, id: 1 })).records.map(({ key }) => key)).toEqual([
      'visit_1@1',
      'person_1',
    ]);
    await manager.save(Person, { id: 1, name: 'nobody', visits: 1 });
    await app.spark.sweep();
    expect(await app.spark.retry()).toBe(0);
    await app.spark.drain();
    expect(handled).toHaveLength(4);
    expect((await app.spark.status()).handlers.map(({ discarded, waiting }) => discarded + waiting)).toEqual([0, 0, 0]);
    expect(await app.spark.erase(Person, 1)).toEqual({ events: 2, discarded: 0, running: 0 });
  });

  it('in chunks, with progress', async () => {
    await app.dataSource.manager.save(Person, { id: 1, name: 'Ada', visits: 20 });
    await app.spark.drain();
    const progress: number[] = [];
    const options = { chunk: 5, onProgress: (done: number) => void progress.push(done) };
    expect(await app.spark.erase(Person, 1, options)).toEqual({ events: 21, discarded: 1, running: 0 });
    expect(progress).toEqual([5, 10, 15, 20, 21]);
    expect(await dump()).not.toContain('Ada');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(app.spark.erase(Person, 1, { signal })).rejects.toThrow('enough');
  });

  const running = async () => {
    for (let i = 0; i < 500; i++) {
      const { records } = await app.spark.deliveries({ state: 'running', handler: 'mails' });
      if (records.length > 0 && handled.includes('mails person_1')) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };

  it('an event that a handler is at work on keeps its context until that has ended', async () => {
    mode = 'blocked';
    await app.dataSource.manager.save(Person, { id: 1, name: 'Ada', visits: 1 });
    await running();
    for (let i = 0; i < 500 && (await deliveries({ state: 'running' })).length > 1; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    const planned = await app.spark.erase(Person, 1, { dryRun: true });
    expect(planned).toEqual({ events: 1, discarded: 1, running: 1 });
    expect(await app.spark.erase(Person, 1)).toEqual(planned);
    expect((await app.spark.events({ key: 'person_1' })).records[0]!.context).toContain('Ada');
    expect(await deliveries({ handler: 'mails' })).toEqual(['mails person_1 running: undefined']);
    finish();
    await app.spark.drain();
    expect(await deliveries({ handler: 'mails' })).toEqual(['mails person_1 completed: undefined']);
    expect(await app.spark.erase(Person, 1)).toEqual({ events: 2, discarded: 0, running: 0 });
    expect(await dump()).not.toContain('Ada');
  });

  it('a handler that fails after that is erased by the next call, and is not called without its context', async () => {
    mode = 'blocked and failing';
    await app.dataSource.manager.save(Person, { id: 1, name: 'Ada', visits: 0 });
    await running();
    expect(await app.spark.erase(Person, 1)).toMatchObject({ running: 1 });
    finish();
    for (let i = 0; i < 500 && (await deliveries({ state: 'running' })).length > 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await app.spark.erase(Person, 1)).toMatchObject({ events: 1, running: 0 });
    expect(await dump()).not.toContain('Ada');
    await app.spark.drain();
    expect(handled.filter((line) => line === 'mails person_1')).toHaveLength(1);
  });

  it('what cannot be meant is refused', async () => {
    await expect(app.spark.erase(Stranger, 1)).rejects.toThrow(UnknownEntityError);
    await expect(app.spark.erase(Person, undefined)).rejects.toThrow(/needs every part of the id of Person/);
    await expect(app.spark.erase(Person, 1, { dryrun: true } as object)).rejects.toThrow(
      'SparkService.erase.dryrun is unknown',
    );
  });
});
