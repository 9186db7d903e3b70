import { Injectable } from '@nestjs/common';
import {
  type DeliveryRecordFilter,
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  sparkEvent,
  type SparkEvent,
  UnknownEntityError,
} from 'nestjs-spark';
import { Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Entity()
class Thing {
  @PrimaryColumn() id: number;
}

@Entity()
class Stranger {
  @PrimaryColumn() id: number;
}

/** What handlers do: fail for good, fail and wait, or wait for `finish`. */
let mode: 'well' | 'failing' | 'waiting' | 'blocked' = 'well';
let finish: () => void;
let finished: Promise<void>;
const handled: string[] = [];

async function handle(name: string, key: string) {
  if (mode === 'failing' || mode === 'waiting') throw new Error(`${name} is out of order`);
  if (mode === 'blocked') await finished;
  handled.push(`${name} ${key}`);
}

@Injectable()
class Things {
  @EventSource(Thing, { name: 'things' }) *things({ id }: Thing) {
    yield sparkEvent('thing', id);
  }
}

@Injectable()
class Handlers {
  @GroupHandler(/^(thing|other)/, { name: 'first', maxAttempts: 1 })
  first({ key }: SparkEvent) {
    return handle('first', key);
  }
  @GroupHandler(/^thing/, { name: 'second', backoff: () => '1h' })
  second({ key }: SparkEvent) {
    return handle('second', key);
  }
}

@Injectable()
class Third {
  @GroupHandler(/^thing/, { name: 'third' })
  third({ key }: SparkEvent) {
    return handle('third', key);
  }
}

describe.each(databases)('bulk operations, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeEach(async () => {
    db = await database.create();
    mode = 'well';
    handled.length = 0;
    finished = new Promise((resolve) => (finish = resolve));
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (providers: any[] = [Things, Handlers], spark: object = {}, dataSource: object = {}) => {
    const options = { worker: { pollInterval: '1h' }, activation: { limit: 0 }, ...spark };
    app = await startApp({ database: db, entities: [Thing], providers, spark: options, dataSource });
  };
  const restart = async (...args: Parameters<typeof start>) => {
    await app.close();
    await start(...args);
  };
  const sql = (text: string) => app.dataSource.query(text) as Promise<any[]>;
  const states = async (filter: DeliveryRecordFilter = {}) => {
    const { records } = await app.spark.deliveries(filter, { limit: 1_000 });
    return records.map(({ event, handler, state }) => `${handler} ${event.key} ${state}`).sort();
  };
  const countOf = async (filter: DeliveryRecordFilter) =>
    (await app.spark.deliveries(filter, { limit: 1, countUpTo: 10_000 })).count;
  const tables = async () => {
    const all = ['event', 'delivery', 'recheck'].map((table) => sql(`SELECT * FROM spark_${table} ORDER BY id`));
    return JSON.stringify(await Promise.all(all), (_, value) => (typeof value === 'bigint' ? String(value) : value));
  };

  /** thing_1 to thing_4 of a source, other_1 to other_2 emitted; `first` has discarded all, `second` waits for its next try. */
  const fail = async () => {
    await start();
    mode = 'failing';
    await app.dataSource.manager.save(
      Thing,
      [1, 2, 3, 4].map((id) => ({ id })),
    );
    await app.spark.drain();
    await app.spark.emit([sparkEvent('other', 1), sparkEvent('other', 2)]);
    await app.spark.drain();
    mode = 'well';
    expect(await countOf({ handler: 'first', state: 'discarded' })).toBe(6);
    expect(await countOf({ handler: 'second', state: 'available' })).toBe(4);
  };
  const idsOf = async (filter: DeliveryRecordFilter) =>
    (await app.spark.deliveries(filter)).records.map(({ id }) => id);

  it('retry, by each part of a filter', async () => {
    await fail();
    const [id] = await idsOf({ handler: 'first', key: 'thing_1' });
    const cases: [DeliveryRecordFilter, number][] = [
      [{ deliveryId: id! }, 1],
      [{ deliveryId: await idsOf({ handler: 'first' }) }, 6],
      [{ key: 'thing_1' }, 2],
      [{ key: ['thing_1', 'other_1', 'nothing_1'] }, 3],
      [{ keyPrefix: 'thing_' }, 8],
      [{ group: 'other' }, 2],
      [{ entity: Thing }, 8],
      [{ entity: Thing, id: 2 }, 2],
      [{ source: 'things', handler: 'first' }, 4],
      [{ handler: 'second' }, 4],
      [{ error: 'FIRST IS out' }, 6],
      [{ state: 'discarded' }, 6],
      [{ state: 'available' }, 4],
      [{ state: ['available', 'discarded'], group: 'thing' }, 8],
      [{ from: new Date(Date.now() + 60_000) }, 0],
      [{ to: new Date(Date.now() + 60_000) }, 10],
      [{}, 10],
      [{ handler: "'; DROP TABLE spark_event; --" }, 0],
    ];
    for (const [filter, count] of cases)
      expect([filter, await app.spark.retry(filter, { dryRun: true })]).toEqual([filter, count]);
    expect(await app.spark.retry({ all: true }, { dryRun: true })).toBe(10);

    expect(await app.spark.retry({ entity: Thing, id: 2 })).toBe(2);
    await app.spark.drain();
    expect(handled.sort()).toEqual(['first thing_2', 'second thing_2']);
    expect(await app.spark.retry({ deliveryId: id! })).toBe(1);
    expect(await app.spark.retry({ error: 'second is out', keyPrefix: 'thing_' })).toBe(3);
    await app.spark.drain();
    expect(handled.splice(2).sort()).toEqual(['first thing_1', 'second thing_1', 'second thing_3', 'second thing_4']);
    expect(await app.spark.retry()).toBe(4);
    await app.spark.drain();
    expect(await countOf({ state: 'completed' })).toBe(10);
  });

  it('discard: what waits and what is held, by a filter, and not what has ended', async () => {
    await fail();
    expect(await app.spark.discard({ handler: 'first' })).toBe(0);
    expect(await app.spark.discard({ key: ['thing_1', 'thing_2'], state: 'available' })).toBe(2);
    expect(await app.spark.discard({ key: 'thing_3', state: 'held' })).toBe(0);
    expect(await app.spark.discard({ all: true })).toBe(2);
    expect(await countOf({ state: 'discarded' })).toBe(10);
    expect((await app.spark.deliveries({ handler: 'second', error: 'second is out' })).records).toHaveLength(4);
  });

  it('release: what is held, by a group or a filter', async () => {
    await start();
    await sql('INSERT INTO thing VALUES (1), (2), (3), (4), (5)');
    expect((await app.spark.sweep()).held).toBe(10);
    expect(await app.spark.release({ handler: 'second', key: 'thing_1' })).toBe(1);
    expect(await app.spark.release({ entity: Thing, id: 2 })).toBe(2);
    await app.spark.drain();
    expect(handled.sort()).toEqual(['first thing_2', 'second thing_1', 'second thing_2']);
    const before = await tables();
    expect(await app.spark.release('thing', { dryRun: true })).toBe(7);
    expect(await app.spark.discard('thing', { dryRun: true })).toBe(7);
    expect(await tables()).toBe(before);
    expect(await app.spark.discard({ keyPrefix: 'thing_3' })).toBe(2);
    expect(await app.spark.release('nothing')).toBe(0);
    expect(await app.spark.release('thing')).toBe(5);
    expect(await app.spark.retry({ key: 'thing_3' })).toBe(0);
  });

  it('replay: past events, by each part of a filter', async () => {
    await start();
    await app.dataSource.manager.save(
      Thing,
      [1, 2, 3, 4].map((id) => ({ id })),
    );
    await app.spark.emit([sparkEvent('thing_late', 1), sparkEvent('other', 1)]);
    await app.spark.drain();
    await restart([Things, Handlers, Third]);
    handled.length = 0;
    const third = { handler: 'third' };
    const before = await tables();
    expect(await app.spark.replay(third, { dryRun: true })).toBe(5);
    expect(await app.spark.replay({ ...third, repeat: true, group: 'other' }, { dryRun: true })).toBe(0);
    expect(await app.spark.replay({ handler: 'first', repeat: true }, { dryRun: true })).toBe(6);
    expect(await app.spark.replay({ ...third, from: new Date(Date.now() + 60_000) }, { dryRun: true })).toBe(0);
    expect(await tables()).toBe(before);
    expect(await app.spark.replay({ ...third, key: 'thing_1' })).toBe(1);
    expect(await app.spark.replay({ ...third, entity: Thing, id: 2 })).toBe(1);
    expect(await app.spark.replay({ ...third, group: 'thing', since: new Date(0) }, { chunk: 1 })).toBe(2);
    expect(await app.spark.replay({ ...third, source: 'things' })).toBe(0);
    expect(await app.spark.replay({ ...third, keyPrefix: 'thing_' })).toBe(1);
    await app.spark.drain();
    const keys = ['thing_1', 'thing_2', 'thing_3', 'thing_4', 'thing_late_1'];
    expect(handled.sort()).toEqual(keys.map((key) => `third ${key}`));
    expect(await app.spark.replay({ ...third, key: 'thing_1', repeat: true })).toBe(1);
    await app.spark.drain();
    expect(handled.filter((line) => line === 'third thing_1')).toHaveLength(2);
  });

  it('forget: events by a filter are news again, those of emit, too', async () => {
    await fail();
    const before = await tables();
    expect(await app.spark.forget({ group: 'other' }, { dryRun: true })).toBe(2);
    expect(await app.spark.forget(Thing, 1, { dryRun: true })).toBe(1);
    expect(await tables()).toBe(before);
    expect(await app.spark.forget({ key: 'other_1' })).toBe(1);
    expect(await app.spark.emit([sparkEvent('other', 1), sparkEvent('other', 2)])).toMatchObject([{ key: 'other_1' }]);
    const columns = 'delivery_id, attempt, host, pid, started_at, duration_ms, error, fingerprint';
    await sql(
      `INSERT INTO spark_attempt (${columns}) SELECT d.id, 1, 'host', 1, 1, 1, 'x', 'f' FROM spark_delivery d
       JOIN spark_event e ON e.id = d.event_id WHERE e.event_group = 'thing'`,
    );
    expect(await app.spark.forget({ keyPrefix: 'thing_', group: 'thing', entity: Thing })).toBe(4);
    const orphans = 'SELECT id FROM spark_attempt WHERE delivery_id NOT IN (SELECT id FROM spark_delivery)';
    expect(await sql(orphans)).toEqual([]);
    expect(await app.spark.deliveries({ group: 'thing' })).toMatchObject({ records: [] });
    await app.spark.sweep();
    expect(await states({ group: 'thing', handler: 'first' })).toHaveLength(4);
    expect(await app.spark.forget({ all: true }, { chunk: 2 })).toBe(6);
    expect([await sql('SELECT id FROM spark_event'), await sql('SELECT id FROM spark_delivery')]).toEqual([[], []]);
  });

  it('dryRun: counts, changes nothing, and calls nobody', async () => {
    await fail();
    const before = await tables();
    const progress: number[] = [];
    const options = { dryRun: true, chunk: 3, onProgress: (done: number) => void progress.push(done) };
    expect(await app.spark.retry({ handler: 'first' }, options)).toBe(6);
    expect(progress.at(-1)).toBe(6);
    expect(await app.spark.retry({}, options)).toBe(10);
    expect(await app.spark.discard({ all: true }, options)).toBe(4);
    expect(await app.spark.release({ all: true }, options)).toBe(0);
    expect(await app.spark.replay({ handler: 'first', repeat: true }, options)).toBe(6);
    expect(await app.spark.forget({ keyPrefix: 'thing' }, options)).toBe(4);
    await app.spark.drain();
    expect(await tables()).toBe(before);
    expect(handled).toEqual([]);
  });

  it('many go in chunks, each in a transaction of its own, and others write and handle meanwhile', async () => {
    const log = new QueryLog();
    await start([Handlers], {}, { logger: log });
    mode = 'failing';
    await app.spark.emit(Array.from({ length: 500 }, (_, i) => sparkEvent('other', i)));
    await app.spark.drain();
    mode = 'well';
    log.statements.length = 0;
    const order: string[] = [];
    let emitted: Promise<unknown> | undefined;
    const count = await app.spark.retry(
      { handler: 'first' },
      {
        chunk: 100,
        onProgress: (done) => {
          order.push(String(done));
          emitted ??= app.spark.emit(sparkEvent('other', 'meanwhile')).then(() => order.push('emitted'));
        },
      },
    );
    order.push('done');
    const handledMeanwhile = handled.length;
    await emitted;
    expect(count).toBe(500);
    expect(order.filter((line) => /\d/.test(line)).filter((line, i, all) => line !== all[i - 1])).toEqual([
      '0',
      '100',
      '200',
      '300',
      '400',
      '500',
    ]);
    expect(order.indexOf('emitted')).toBeLessThan(order.indexOf('done'));
    expect(handledMeanwhile).toBeGreaterThan(0);
    expect(log.statements.filter((text) => /^UPDATE \S*spark_delivery\S* AS d SET state/.test(text))).toHaveLength(5);
    await app.spark.drain();
    expect(new Set(handled).size).toBe(501);
    expect(handled).toHaveLength(501);
  });

  it('a signal ends it between two chunks; what is done stays done', async () => {
    await start([Handlers], { worker: false });
    await app.spark.emit(Array.from({ length: 10 }, (_, i) => sparkEvent('other', i)));
    const stop = new AbortController();
    const reason = new Error('enough');
    const onProgress = (done: number) => {
      if (done === 6) stop.abort(reason);
    };
    const options = { chunk: 3, signal: stop.signal, onProgress };
    await expect(app.spark.discard({ group: 'other' }, options)).rejects.toBe(reason);
    expect(await countOf({ state: 'discarded' })).toBe(6);
    expect(await countOf({ state: 'available' })).toBe(4);
    await expect(app.spark.forget({ group: 'other' }, options)).rejects.toBe(reason);
    expect(await countOf({})).toBe(10);
  });

  it('what a handler is at work on is left alone', async () => {
    await start([Handlers]);
    mode = 'blocked';
    await app.spark.emit(sparkEvent('other', 1));
    for (let i = 0; i < 500 && (await countOf({ state: 'running' })) === 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await app.spark.retry()).toBe(0);
    expect(await app.spark.discard({ all: true })).toBe(0);
    expect(await app.spark.release({ all: true })).toBe(0);
    expect(await app.spark.replay({ handler: 'first', repeat: true })).toBe(0);
    expect(await states()).toEqual(['first other_1 running']);
    finish();
    await app.spark.drain();
    expect(handled).toEqual(['first other_1']);
    expect(await states()).toEqual(['first other_1 completed']);
  });

  it.skipIf(database.name === 'SQLite')('what is claimed between its read and its change is left alone', async () => {
    await start([Handlers], { worker: false });
    await app.spark.emit([sparkEvent('other', 1), sparkEvent('other', 2)]);
    const claimer = app.dataSource.createQueryRunner();
    await claimer.startTransaction();
    await claimer.query(
      `UPDATE spark_delivery SET state = 'running' WHERE event_id = (SELECT id FROM spark_event WHERE event_key = 'other_1')`,
    );
    const discarded = app.spark.discard({ group: 'other' });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await claimer.commitTransaction();
    await claimer.release();
    expect(await discarded).toBe(1);
    expect(await states()).toEqual(['first other_1 running', 'first other_2 discarded']);
  });

  it('priority: what is done once more comes behind what is new, or as the call says', async () => {
    await start([Handlers]);
    mode = 'failing';
    await app.spark.emit([1, 2, 3].map((i) => sparkEvent('other', i)));
    await app.spark.drain();
    mode = 'well';
    await restart([], { worker: false });
    await app.spark.emit(sparkEvent('other', 'fresh'));
    await app.spark.retry({ key: 'other_3' }, { priority: 900 });
    await app.spark.retry({ key: 'other_2' }, { priority: -5 });
    await app.spark.retry({ key: 'other_1' });
    await restart([Handlers], { worker: { pollInterval: '1h', concurrency: 1 } });
    await app.spark.drain();
    expect(handled).toEqual(['first other_2', 'first other_fresh', 'first other_1', 'first other_3']);
    await app.spark.replay({ handler: 'first', repeat: true, key: 'other_1' }, { priority: 7 });
    expect((await app.spark.deliveries({ key: 'other_1' })).records).toMatchObject([{ priority: 7 }]);
  });

  it('what cannot be meant is refused, and nothing is changed', async () => {
    await fail();
    const before = await tables();
    const { spark } = app;
    const refused: [() => Promise<unknown>, RegExp][] = [
      [() => spark.discard({}), /The filter of SparkService.discard is \{\}. Expected: .*\{ all: true \}/],
      [() => spark.release({}), /The filter of SparkService.release is \{\}/],
      [() => spark.forget({}), /The filter of SparkService.forget is \{\}/],
      [() => spark.discard(undefined as never), /SparkService.discard is undefined/],
      [() => spark.retry({ all: false } as never), /SparkService.retry \{ all \} is false. Expected: true/],
      [() => spark.retry({ all: true, key: 'a' } as never), /SparkService.retry.key is unknown/],
      [
        () => spark.retry({ state: 'completed' }),
        /\{ state \} is 'completed'. Expected: 'available' or 'discarded', because/,
      ],
      [() => spark.discard({ state: ['held', 'running'] }), /Expected: 'available' or 'held'/],
      [() => spark.release({ group: 'thing', state: 'discarded' }), /Expected: 'held', because/],
      [() => spark.forget({ state: 'held' } as never), /SparkService.forget.state is unknown/],
      [() => spark.retry({ deliveryId: [] }), /SparkService.retry \{ deliveryId \} is \[\]/],
      [() => spark.retry({ deliveryId: '1; DROP' }), /\{ deliveryId \} is '1; DROP'/],
      [() => spark.retry({ deliveryId: Array.from({ length: 10_001 }, String) }), /a list of up to 10000/],
      [() => spark.discard({ key: undefined as never }), /\{ key \} is undefined. Expected: text/],
      [() => spark.retry({ id: 1 }), /needs the entity of the id/],
      [() => spark.retry({}, { dryrun: true } as never), /SparkService.retry.dryrun is unknown/],
      [() => spark.retry({}, { dryRun: 'no' as never }), /\{ dryRun \} is 'no'. Expected: true or false/],
      [() => spark.retry({}, { chunk: 0 }), /\{ chunk \} is 0. Expected: a whole number from 1 to 10000/],
      [() => spark.retry({}, { signal: {} as never }), /\{ signal \} is \{\}. Expected: an AbortSignal/],
      [() => spark.retry({}, { onProgress: 1 as never }), /\{ onProgress \} is 1. Expected: a function/],
      [() => spark.retry({}, { priority: 1.5 }), /\{ priority \} is 1.5/],
      [() => spark.discard({ key: 'a' }, { priority: 1 } as never), /SparkService.discard.priority is unknown/],
      [() => spark.replay({ handler: 'first', since: 'today' as never }), /\{ since \} is 'today'. Expected: a Date/],
      [() => spark.replay({ handler: 'first', since: new Date(), from: new Date() }), /which means the same/],
      [() => spark.replay({ handler: 'first', stat: 1 } as never), /SparkService.replay.stat is unknown/],
    ];
    for (const [call, message] of refused) {
      const error = await call().then(
        () => undefined,
        (thrown: Error) => thrown,
      );
      expect(error?.message ?? String(call)).toMatch(message);
      if (!(error instanceof TypeError)) expect(error).toBeInstanceOf(InvalidOptionsError);
    }
    await expect(spark.retry({ entity: Stranger })).rejects.toThrow(UnknownEntityError);
    await expect(spark.forget(Stranger, 1)).rejects.toThrow(UnknownEntityError);
    expect(await tables()).toBe(before);
  });
});
