import { Injectable } from '@nestjs/common';
import {
  type DeliveryReport,
  EventSource,
  GroupHandler,
  InvalidEventError,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

/** One for each way in: recorded in its transaction, by a recheck after it, by the sweep. */
@Entity()
class OwnRow {
  @PrimaryGeneratedColumn() id: number;
  @Column() kind: string;
}
@Entity()
class Deferred {
  @PrimaryGeneratedColumn() id: number;
  @Column() kind: string;
}
@Entity()
class Swept {
  @PrimaryGeneratedColumn() id: number;
  @Column() kind: string;
}
const ways = [OwnRow, Deferred, Swept];
const named = ways.map((way) => ({ name: way.name, way }));

class Foreign {
  readonly secret = 1;
}
const circle: Record<string, unknown> = {};
circle.self = circle;
const given = (event: object) => event as SparkEvent;

/** What is wrong with an event, and what is said of it. */
const BAD: Record<string, [(id: number) => SparkEvent, RegExp]> = {
  'an empty group': [(id) => sparkEvent('', id), /its group is empty/],
  'a group of 101 characters': [(id) => sparkEvent('g'.repeat(101), id), /its group is longer than 100 characters/],
  'a group with NUL': [(id) => sparkEvent('a\0b', id), /its group holds a NUL/],
  'a group with a lone surrogate': [(id) => sparkEvent('a\ud800b', id), /its group holds half of a surrogate pair/],
  'a group that is no text': [(id) => sparkEvent(7 as never, id), /its group is 7, not text/],
  'an empty key': [(id) => sparkEvent('g', id, undefined, { key: '' }), /its key is empty/],
  'a key of 256 characters': [(id) => sparkEvent('g', `${id}${'k'.repeat(256)}`), /its key is longer than 255/],
  'a key with NUL': [() => sparkEvent('g', 'a\0b'), /its key holds a NUL/],
  'a key with a lone surrogate': [() => sparkEvent('g', 'a\udc00b'), /its key holds half of a surrogate pair/],
  'the id null': [() => sparkEvent('g', null as never), /its id is null/],
  'the id undefined': [() => sparkEvent('g', undefined as never), /its id is undefined/],
  'the id NaN': [() => sparkEvent('g', Number.NaN), /its id is NaN/],
  'the id Infinity': [() => sparkEvent('g', Infinity), /its id is Infinity/],
  'an object as id': [(id) => sparkEvent('g', { id } as never), /its id is an object/],
  'a Date as id': [() => sparkEvent('g', new Date() as never), /its id is a Date/],
  'an empty list as id': [() => sparkEvent('g', []), /its id is an empty list/],
  'a list with undefined as id': [
    (id) => sparkEvent('g', [id, undefined as never]),
    /its id is a list that holds undefi/,
  ],
  'an invalid at': [(id) => sparkEvent('g', id, undefined, { at: new Date(Number.NaN) }), /its at is an invalid Date/],
  'an at that is text': [
    (id) => sparkEvent('g', id, undefined, { at: '2026' as never }),
    /its at is "2026", not a Date/,
  ],
  'an at of the year 300000': [(id) => given({ group: 'g', key: `at_${id}`, at: 1e15 }), /its at is .*, not a Date/],
  'an object as occurrence': [
    (id) => sparkEvent('g', id, 0, { occurrence: {} as never }),
    /its occurrence is an object/,
  ],
  'a function in the context': [(id) => sparkEvent('g', id, { call: () => 1 }), /context\.call is a function/],
  'a symbol in the context': [(id) => sparkEvent('g', id, [Symbol('x')]), /context\[0\] is a symbol/],
  'a circular context': [(id) => sparkEvent('g', id, { circle }), /context\.circle\.self is circular/],
  'a promise in the context': [(id) => sparkEvent('g', id, { later: Promise.resolve(1) }), /later is a Promise/],
  'an unsaved entity in the context': [(id) => sparkEvent('g', id, { row: new OwnRow() }), /row is an OwnRow without/],
  'a foreign class in the context': [(id) => sparkEvent('g', id, { thing: new Foreign() }), /thing is a Foreign/],
  'a context of a million characters': [(id) => sparkEvent('g', id, 'x'.repeat(1_000_000)), /context is too large/],
  'no event but null': [() => null as never, /it is null, not an event/],
  'no event but text': [() => 'g_1' as never, /it is "g_1", not an event/],
  'no event but a promise of one': [(id) => Promise.resolve(sparkEvent('g', id)) as never, /not an event/],
  'an event that throws': [
    () =>
      given({
        group: 'g',
        get key(): string {
          throw new Error('no key');
        },
      }),
    /it cannot be read \(no key\)/,
  ],
};

let endless = 0;

function* eventsOf({ id, kind, constructor: { name } }: OwnRow): Iterable<SparkEvent> {
  const good = (what: string) => sparkEvent(`${name}_${what}`, id, { what });
  // A key that another way has entered is known: what is wrong with its context does not matter any more.
  const own = 1_000 * ways.findIndex((way) => way.name === name) + id;
  yield good('before');
  if (BAD[kind]) yield BAD[kind][0](own);
  if (kind === 'all') for (const [bad] of Object.values(BAD)) yield bad(own);
  try {
    if (kind === 'long') yield sparkEvent(`${name}_long`, id, 'x'.repeat(900_000));
    if (kind === 'thousand') for (let i = 2; i < 1_000; i++) yield good(`nr${i}`);
    if (kind === 'endless') for (let i = 0; ; i++) yield good(`nr${i}`);
  } finally {
    if (kind === 'endless') endless++;
  }
  yield good('after');
}

@Injectable()
class Events {
  @EventSource(OwnRow) ownRow(row: OwnRow) {
    return eventsOf(row);
  }
  @EventSource(OwnRow) *neighbour({ id }: OwnRow) {
    yield sparkEvent('neighbour', id);
  }
  @EventSource(Deferred) async *deferred(row: Deferred) {
    yield* eventsOf(row);
  }
  @EventSource(Swept, { live: false }) swept(row: Swept) {
    return eventsOf(row);
  }
  @EventSource(OwnRow, { live: false, where: { kind: 'shapeless' } }) shapeless({ id }: OwnRow) {
    return (['text', 7, undefined, null, {}][id % 5] ?? null) as never;
  }
}

@Injectable()
class Handlers {
  readonly handled: string[] = [];

  @GroupHandler(/^wild/g, { name: 'global' }) global({ key }: SparkEvent) {
    this.handled.push(`g ${key}`);
  }
  @GroupHandler(/wild/y, { name: 'sticky' }) sticky({ key }: SparkEvent) {
    this.handled.push(`y ${key}`);
  }
  @GroupHandler(/^WILD/gi, { name: 'both' }) both({ key }: SparkEvent) {
    this.handled.push(`gi ${key}`);
  }
  @GroupHandler(/^long/, { name: 'long' }) long({ key, context }: SparkEvent) {
    this.handled.push(`${key} ${JSON.stringify(context)}`);
  }
}

describe.each(databases)('bad input loses nothing, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let entered: string[];

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: ways, providers: [Events, Handlers] });
    app.spark.events$.subscribe(({ key }) => entered.push(key));
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  /** Saves rows of these kinds at once and returns the keys that came of it, and the errors that were logged. */
  const save = async (way: (typeof ways)[number], ...kinds: string[]) => {
    const { manager } = app.dataSource;
    // Those of earlier tests would fail again at each sweep.
    await manager.deleteAll(way);
    entered = [];
    app.logs.length = 0;
    const rows = await manager.save(kinds.map((kind) => manager.create(way, { kind })));
    await app.spark.drain();
    if (way === Swept) await app.spark.sweep({ entity: Swept });
    const keys = entered.filter((key) => key.startsWith(way.name)).sort();
    return { ids: rows.map(({ id }) => id), keys, errors: app.logs.filter((line) => line.startsWith('error')) };
  };
  const refusals = async () => (await app.spark.status()).counts.refusedEvents;
  /** Why events of an entity are refused, as `explain` says it. */
  const reasons = async (way: (typeof ways)[number], id: number) =>
    (await app.spark.explain(way, id)).sources.flatMap(({ events }) => events.flatMap(({ reason }) => reason ?? []));
  const good = (way: { name: string }, ids: number[]) =>
    ids.flatMap((id) => [`${way.name}_after_${id}`, `${way.name}_before_${id}`]).sort();

  it.each(Object.keys(BAD))('%s: the other events are entered, and it is counted and explained', async (kind) => {
    const before = await refusals();
    const { ids, keys, errors } = await save(OwnRow, kind, 'good');
    expect(keys).toEqual(good(OwnRow, ids));
    expect(await refusals()).toBe(before + 1);
    expect(await reasons(OwnRow, ids[0]!)).toEqual([expect.stringMatching(BAD[kind]![1])]);
    // One line a source and minute: the first says where it came from.
    const isFirst = kind === Object.keys(BAD)[0];
    expect(errors.length).toBeLessThanOrEqual(1);
    if (isFirst)
      expect(errors[0]).toMatch(
        new RegExp(`^error Events\\.ownRow yielded an event.* for OwnRow ${ids[0]} that cannot be.*empty`),
      );
  });

  it('a thousand entities with one bad field are one line in the log', async () => {
    const before = await refusals();
    const { errors } = await save(Swept, ...Array.from({ length: 1_000 }, () => 'the id null'));
    expect(await refusals()).toBe(before + 1_000);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^error Events\.swept yielded an event.* for Swept .*its id is null/);
  });

  it.each(named)('all of it from one entity, at $name', async ({ way }) => {
    const before = await refusals();
    const { ids, keys } = await save(way, 'good', 'all', 'good');
    expect(keys).toEqual(good(way, ids));
    // An async generator waits for the promises that it yields.
    const refused = Object.entries(BAD).filter(
      ([kind]) => way !== Deferred || kind !== 'no event but a promise of one',
    );
    expect(await refusals()).toBe(before + refused.length);
    const all = (await reasons(way, ids[1]!)).join('\n');
    for (const [, [, reason]] of refused) expect(all).toMatch(reason);
  });

  it.each(named)('a source that never ends is cut off, and closed, at $name', async ({ way }) => {
    endless = 0;
    const { ids, keys, errors } = await save(way, 'good', 'endless', 'good');
    expect(keys).toEqual(good(way, [ids[0]!, ids[2]!]));
    expect(errors.join('\n')).toMatch(new RegExp(`failed for ${way.name} ${ids[1]}.*more than 1000 events`, 's'));
    expect(endless).toBe(1);
    if (way === OwnRow) expect(entered).toContain(`neighbour_${ids[1]}`);
    expect(await app.dataSource.manager.countBy(way, { id: ids[1] })).toBe(1);
    await app.dataSource.manager.update(way, { id: ids[1] }, { kind: 'good' });
    await app.spark.drain();
    await app.spark.sweep({ entity: way });
    expect(entered).toContain(`${way.name}_after_${ids[1]}`);
  });

  it.each(named)('a source may give a thousand events, at $name', async ({ way }) => {
    const { keys, errors } = await save(way, 'thousand');
    expect(keys).toHaveLength(1_000);
    expect(errors).toEqual([]);
  });

  it.each(named)('contexts as long as they may be, of twenty entities at once, at $name', async ({ way }) => {
    const { ids, keys, errors } = await save(way, ...Array.from({ length: 20 }, () => 'long'));
    expect(keys).toEqual([...good(way, ids), ...ids.map((id) => `${way.name}_long_${id}`)].sort());
    expect(errors).toEqual([]);
  });

  it('a source that gives something else than events fails for that entity alone', async () => {
    const { ids } = await save(OwnRow, ...Array.from({ length: 5 }, () => 'shapeless'), 'good');
    app.logs.length = 0;
    const { failed } = await app.spark.sweep({ entity: OwnRow });
    expect(failed).toBe(5);
    expect(app.logs.join('\n')).toMatch(
      new RegExp(`Events\\.shapeless failed for OwnRow ${ids[0]}.*must be a generator`, 's'),
    );
  });

  describe('emit', () => {
    const emitted = async () => {
      const rows: { event_key: string }[] = await app.dataSource.query(
        `SELECT event_key FROM spark_event WHERE event_key LIKE 'emitted%' ORDER BY event_key`,
      );
      return rows.map(({ event_key: key }) => key);
    };

    it.each(Object.keys(BAD))('%s is refused, and nothing is entered', async (kind) => {
      const [bad, reason] = BAD[kind]!;
      const error = await app.spark.emit([sparkEvent('emitted', kind), bad(1)]).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidEventError);
      expect((error as Error).message).toMatch(/^SparkService\.emit was given an event/);
      expect((error as Error).message).toMatch(reason);
      expect(await emitted()).toEqual([]);
    });

    it('an event of the future is refused', async () => {
      const at = new Date(Date.now() + 60_000);
      await expect(app.spark.emit(sparkEvent('emitted', 1, undefined, { at }))).rejects.toThrow(
        /its at is in the future/,
      );
    });

    it('in a transaction it leaves the transaction as it was', async () => {
      await app.dataSource.transaction(async (manager) => {
        await manager.save(OwnRow, { kind: 'good' });
        const both = [sparkEvent('emitted', 'with bad'), sparkEvent('', 1)];
        await expect(app.spark.emit(both, { manager })).rejects.toThrow(InvalidEventError);
        await app.spark.emit(sparkEvent('emitted', 'alone'), { manager });
      });
      expect(await emitted()).toEqual(['emitted_alone']);
    });
  });

  it('keys and groups as long as they may be, of any characters, arrive', async () => {
    const group = `long${'😀'.repeat(96)}`;
    const key = `${'é😀'.repeat(127)}k`;
    const reports: DeliveryReport[] = [];
    const subscription = app.spark.deliveries$.subscribe((report) => reports.push(report));
    const context = { text: '\0 \ud800 😀 \u2028', big: 'x'.repeat(900_000) };
    expect(await app.spark.emit(sparkEvent(group, 1, context, { key }))).toHaveLength(1);
    expect(await app.spark.emit(sparkEvent(group, 1, context, { key }))).toEqual([]);
    await app.spark.drain();
    subscription.unsubscribe();
    expect(reports).toMatchObject([{ group, key, handler: 'long', state: 'completed' }]);
    expect(app.app.get(Handlers).handled).toContain(`${key} ${JSON.stringify(context)}`);
  });

  it('keys that differ in case, in trailing blanks or in accents are different keys', async () => {
    const names = ['a', 'A', 'a ', 'a  ', ' a', 'á', 'a\u0301', 'ä', 'ß', 'ss', 'a\t', '１', '1', 'ﬁ', 'fi'];
    const events = names.map((name) => sparkEvent('case', name));
    expect(await app.spark.emit(events)).toHaveLength(names.length);
    for (const event of events) expect(await app.spark.emit(event)).toEqual([]);
    await app.spark.emit([sparkEvent('Case', 'group'), sparkEvent('case', 'group')]);
    const rows = await app.dataSource.query(`SELECT event_key FROM spark_event WHERE event_group = 'case'`);
    expect(rows).toHaveLength(names.length + 1);
    const groups = await app.dataSource.query(`SELECT event_key FROM spark_event WHERE event_group = 'Case'`);
    expect(groups).toEqual([{ event_key: 'Case_group' }]);
  });

  it('a key that is known under another group is logged, and stays what it is', async () => {
    await app.spark.emit(sparkEvent('first', 1, undefined, { key: 'shared' }));
    app.logs.length = 0;
    expect(await app.spark.emit(sparkEvent('second', 1, undefined, { key: 'shared' }))).toEqual([]);
    expect(app.logs.join('\n')).toMatch(/^error The event shared of the group second .*the group first/);
    const both = ['third', 'fourth'].map((group) => sparkEvent(group, 1, undefined, { key: 'at once' }));
    expect(await app.spark.emit(both)).toHaveLength(1);
    expect((await app.spark.status()).counts.collidingKeys).toBe(2);
  });

  it('a regex with g or y matches as without', async () => {
    const { handled } = app.app.get(Handlers);
    for (const id of [1, 2, 3]) await app.spark.emit([sparkEvent('wild', id), sparkEvent('so_wild', id)]);
    await app.spark.drain();
    expect(handled.filter((call) => call.includes('wild')).sort()).toEqual([
      ...[1, 2, 3].map((id) => `g wild_${id}`),
      ...[1, 2, 3].map((id) => `gi wild_${id}`),
      ...[1, 2, 3].map((id) => `y so_wild_${id}`),
      ...[1, 2, 3].map((id) => `y wild_${id}`),
    ]);
  });
});
