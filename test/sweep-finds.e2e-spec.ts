import { Injectable } from '@nestjs/common';
import {
  EventSource,
  InvalidOptionsError,
  NoSourceError,
  sparkEvent,
  type SweepProgress,
  UnknownSourceError,
} from 'nestjs-spark';
import { Column, Entity, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn, type Relation } from 'typeorm';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() state: string;
}

@Entity()
class Part {
  @PrimaryGeneratedColumn() id: number;
  @ManyToOne(() => Item, { onDelete: 'SET NULL', nullable: true }) item: Relation<Item> | null;
}

@Entity()
class Pair {
  @PrimaryColumn() tenant: string;
  @PrimaryColumn() number: number;
}

@Entity()
class Unique {
  @PrimaryColumn('uuid') id: string;
}

@Entity()
class Big {
  @PrimaryColumn({ type: 'bigint' }) id: string;
}

@Entity()
class Word {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Entity()
class Stranger {
  @PrimaryGeneratedColumn() id: number;
}

const entities = [Item, Part, Pair, Unique, Big, Word, Stranger];

const PAGE = 500;
const MANY = 2 * PAGE + 203;
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

@Injectable()
class Events {
  /** What happens to the table while its rows are swept. */
  meanwhile: (() => Promise<unknown>) | undefined;
  contextsRead = 0;

  @EventSource(Item) *items({ id, state }: Item) {
    if (state === 'poison') throw new Error('poisoned');
    if (state === 'bad') yield sparkEvent('', id);
    const read = () => ++this.contextsRead;
    yield sparkEvent('item', id, {
      get state() {
        read();
        return state;
      },
    });
  }
  @EventSource(Part, { relations: { item: true } }) async *parts({ id, item }: Part) {
    const { meanwhile } = this;
    this.meanwhile = undefined;
    await meanwhile?.();
    yield sparkEvent(item ? 'part' : 'orphan', id);
  }
  @EventSource(Pair) *pairs({ tenant, number }: Pair) {
    yield sparkEvent('pair', [tenant, number]);
  }
  @EventSource(Unique) *uniques({ id }: Unique) {
    yield sparkEvent('unique', id);
  }
  @EventSource(Big) *bigs({ id }: Big) {
    yield sparkEvent('big', id);
  }
  @EventSource(Word) *words({ id, text }: Word) {
    yield sparkEvent('word', id, undefined, { key: text });
    if (text === 'w') yield sparkEvent('other', id, undefined, { key: text });
  }
}

describe.each(databases)('the sweep finds what live capture cannot, on $name', (database) => {
  const log = new QueryLog();
  let db: TestDatabase;
  let app: TestApp;
  let progress: SweepProgress[];
  let entered: string[];

  beforeAll(async () => {
    db = await database.create();
    const options = { entities, providers: [Events], dataSource: { logger: log } };
    app = await startApp({ database: db, spark: { worker: { pollInterval: '1h' } }, ...options });
    app.spark.sweeps$.subscribe((step) => progress.push(step));
    app.spark.events$.subscribe(({ key }) => entered.push(key));
  });
  beforeEach(async () => {
    for (const table of ['part', 'item', 'pair', 'unique', 'big', 'word']) await sql(`DELETE FROM "${table}"`);
    await sql('DELETE FROM spark_event');
    progress = [];
    entered = [];
    app.logs.length = 0;
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  /** SQL that no hook of TypeORM reports. */
  const sql = (statement: string) =>
    app.dataSource.query(database.name === 'MariaDB' ? statement.replaceAll('"', '`') : statement);
  const insert = (table: string, rows: (string | number | bigint)[][]) => {
    const values = rows.map((row) => row.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))));
    return sql(`INSERT INTO "${table}" VALUES ${values.map((row) => `(${row.join(', ')})`).join(', ')}`);
  };
  const insertItems = (ids: number[], state = 'new') =>
    insert(
      'item',
      ids.map((id) => [id, state]),
    );
  const keys = (prefix: string, ids: unknown[]) => ids.map((id) => `${prefix}_${String(id)}`).sort();

  describe('what was written', () => {
    it('by raw SQL, at the first sweep; nothing at the second', async () => {
      await insertItems([1, 2, 3]);
      await app.spark.drain();
      expect(entered).toEqual([]);
      expect(await app.spark.sweep()).toMatchObject({ subjects: 3, entered: 3, failed: 0, refused: 0 });
      expect(entered).toEqual(['item_1', 'item_2', 'item_3']);
      expect(await app.spark.sweep()).toMatchObject({ subjects: 3, entered: 0, failed: 0, refused: 0 });
      expect(entered).toHaveLength(3);
    });

    it('without listeners', async () => {
      const { id } = await app.dataSource.manager.save(Item, { state: 'new' }, { listeners: false });
      await app.spark.drain();
      expect(entered).toEqual([]);
      await app.spark.sweep();
      expect(entered).toEqual([`item_${id}`]);
    });

    it('by a cascade of the database', async () => {
      const item = await app.dataSource.manager.save(Item, { state: 'new' });
      const part = await app.dataSource.manager.save(Part, { item });
      await app.spark.drain();
      await sql(`DELETE FROM item WHERE id = ${item.id}`);
      await app.spark.drain();
      expect(entered).toEqual([`item_${item.id}`, `part_${part.id}`]);
      await app.spark.sweep();
      expect(entered.slice(2)).toEqual([`orphan_${part.id}`]);
    });

    it('before Spark was there, though an event of its entity was forgotten', async () => {
      const { id } = await app.dataSource.manager.save(Item, { state: 'new' });
      await app.spark.forget(Item, id);
      await app.spark.sweep();
      expect(entered).toEqual([`item_${id}`, `item_${id}`]);
    });
  });

  describe('in pages by the primary key', () => {
    const pages = (source: string) =>
      progress.filter((step) => step.source === `Events.${source}`).map(({ subjects, done }) => [subjects, done]);
    const threePages = [
      [PAGE, false],
      [2 * PAGE, false],
      [MANY, true],
    ];

    it('of numbers; the last page may be full', async () => {
      await insertItems(upTo(MANY).toReversed());
      expect(await app.spark.sweep()).toMatchObject({ subjects: MANY, entered: MANY });
      expect(entered.toSorted()).toEqual(keys('item', upTo(MANY)));
      expect(pages('items')).toEqual(threePages);

      await sql(`DELETE FROM item WHERE id > ${2 * PAGE}`);
      expect(await app.spark.sweep()).toMatchObject({ subjects: 2 * PAGE, entered: 0 });
    });

    it('of several columns', async () => {
      const ids = ['a', 'B', 'c d'].flatMap((tenant) => upTo(401).map((number) => [tenant, number - 100]));
      await insert('pair', ids.toReversed());
      await app.spark.sweep();
      expect(entered.toSorted()).toEqual(keys('pair', ids));
      expect(pages('pairs')).toEqual(threePages);
    });

    it('of uuids', async () => {
      const ids = upTo(MANY).map(() => randomUUID());
      await insert(
        'unique',
        ids.map((id) => [id]),
      );
      await app.spark.sweep();
      expect(entered.toSorted()).toEqual(keys('unique', ids));
      expect(pages('uniques')).toEqual(threePages);
    });

    it('of bigints', async () => {
      // SQLite's driver rounds what is larger.
      const factor = database.name === 'SQLite' ? 7n * 10n ** 12n : 7n * 10n ** 15n;
      const ids = upTo(MANY).map((i) => BigInt(i - 601) * factor);
      await insert(
        'big',
        ids.map((id) => [id]),
      );
      await app.spark.sweep();
      expect(entered.toSorted()).toEqual(keys('big', ids));
      expect(pages('bigs')).toEqual(threePages);
    });

    it('while rows go and come', async () => {
      await insertItems([1]);
      await insert(
        'part',
        upTo(MANY).map((id) => [id, 1]),
      );
      app.app.get(Events).meanwhile = () =>
        sql(`DELETE FROM part WHERE id <= 400`).then(() => insert('part', [[MANY + 1, 1]]));
      await app.spark.sweep({ entity: Part });
      expect(entered.toSorted()).toEqual(keys('part', upTo(MANY + 1)));
    });
  });

  it('known keys are filtered first and cost neither a write nor a reading of their contexts', async () => {
    const events = app.app.get(Events);
    await insertItems(upTo(MANY));
    await app.spark.sweep();
    expect(events.contextsRead).toBeGreaterThanOrEqual(MANY);
    const lastId = async () => Number((await sql('SELECT MAX(id) AS id FROM spark_event'))[0].id);
    const last = await lastId();

    log.statements.length = 0;
    events.contextsRead = 0;
    expect(await app.spark.sweep({ entity: Item })).toMatchObject({ subjects: MANY, entered: 0 });
    expect(events.contextsRead).toBe(0);
    const writes = log.statements.filter((statement) => /^\s*(INSERT|UPDATE|DELETE|REPLACE)/i.test(statement));
    // One for each page says how far the range is; the range and the sweep begin and end once.
    const ofSweep = /^(UPDATE|INSERT INTO|DELETE FROM) \W?spark_sweep/;
    expect(writes.filter((statement) => !ofSweep.test(statement))).toEqual([]);
    expect(writes.length).toBeLessThanOrEqual(3 + 11);
    expect(log.statements.length).toBeLessThanOrEqual(3 * 8 + 34);
    expect(log.statements.filter((statement) => statement.includes('spark_handler'))).toEqual([]);

    // An attempt to insert a key that is there would have used up a number.
    await app.spark.emit(sparkEvent('after', 1));
    expect(await lastId()).toBe(last + 1);
  });

  it('known keys are distinguished from new ones wherever they lie among those of others', async () => {
    // One after the other in the order of the bytes; JavaScript's own order is another one.
    const words = ['w', 'w\x1fw1', 'w1', 'w2', 'w9', 'w\uFFFD', 'w🎉'];
    await insert(
      'word',
      words.map((word, i) => [i + 1, word]),
    );
    await app.spark.sweep();
    await app.spark.emit(upTo(50).map((i) => sparkEvent('noise', i, undefined, { key: `w1${i}` })));
    for (const known of words.keys()) {
      entered = [];
      await sql(`DELETE FROM spark_event WHERE event_key = '${words[known]}'`);
      await app.spark.sweep();
      expect(entered).toEqual([words[known]]);
      expect(await app.spark.sweep()).toMatchObject({ subjects: words.length, entered: 0 });
    }
    await sql(`UPDATE spark_event SET event_group = 'noise' WHERE event_key = 'w2'`);
    const colliding = async () => (await app.spark.status()).counts.collidingKeys;
    const before = await colliding();
    expect(await app.spark.sweep()).toMatchObject({ entered: 0 });
    // w of the other source, as in each sweep, and w2.
    expect((await colliding()) - before).toBe(2);
  });

  it('an entity that its source throws at stops neither the page nor the next', async () => {
    await insertItems(upTo(MANY));
    await sql(`UPDATE item SET state = 'poison' WHERE id IN (3, 4, 700)`);
    await sql(`UPDATE item SET state = 'bad' WHERE id = 600`);
    expect(await app.spark.sweep()).toMatchObject({ subjects: MANY, entered: MANY - 3, failed: 3, refused: 1 });
    expect(entered.toSorted()).toEqual(
      keys(
        'item',
        upTo(MANY).filter((id) => ![3, 4, 700].includes(id)),
      ),
    );
    const errors = app.logs.filter((line) => line.startsWith('error')).join('\n');
    expect(errors).toMatch(/Events\.items failed for Item 3,.*poisoned/);
    expect(errors).toMatch(/Events\.items yielded an event.* for Item 600 .*its group is empty/);

    await sql(`UPDATE item SET state = 'cured'`);
    expect(await app.spark.sweep()).toMatchObject({ entered: 3, failed: 0, refused: 0 });
  });

  it('several sweeps at once enter each event once', async () => {
    await insertItems(upTo(PAGE));
    const reports = await Promise.all([app.spark.sweep(), app.spark.sweep(), app.spark.sweep()]);
    expect(reports.map(({ subjects }) => subjects)).toEqual([PAGE, PAGE, PAGE]);
    expect(reports.reduce((sum, report) => sum + report.entered, 0)).toBe(PAGE);
    expect(entered.toSorted()).toEqual(keys('item', upTo(PAGE)));
  });

  it('of one entity alone when it is asked to', async () => {
    await insertItems([1]);
    await insert('part', [[1, 1]]);
    expect(await app.spark.sweep({ entity: Part })).toMatchObject({ subjects: 1, entered: 1 });
    expect(entered).toEqual(['part_1']);
    await expect(app.spark.sweep({ entity: Stranger })).rejects.toThrow(NoSourceError);
    await expect(app.spark.sweep({ entity: 'Nobody' })).rejects.toThrow(/Nobody/);
  });

  it('of one source alone when it is asked to', async () => {
    await insertItems([1]);
    await insert('part', [[1, 1]]);
    expect(await app.spark.sweep({ source: 'Events.parts' })).toMatchObject({ subjects: 1, entered: 1 });
    expect(await app.spark.sweep({ source: 'Events.parts', entity: Part, ids: [1] })).toMatchObject({ subjects: 1 });
    expect(entered).toEqual(['part_1']);
    await expect(app.spark.sweep({ source: 'Events.nobody' })).rejects.toThrow(UnknownSourceError);
    for (const options of [{ source: 'Events.parts', entity: Item }, { source: 7 }, { signal: {} }] as object[])
      await expect(app.spark.sweep(options)).rejects.toThrow(InvalidOptionsError);
    await expect(app.spark.baseline(Item, { full: true } as object)).rejects.toThrow(InvalidOptionsError);
  });

  it('up to the next page, if its signal is aborted; the next sweep goes on there', async () => {
    await insertItems(upTo(MANY));
    const enough = new Error('enough');
    const aborted = (call: (signal: AbortSignal) => Promise<unknown>) => {
      const controller = new AbortController();
      const watching = app.spark.sweeps$.subscribe(() => controller.abort(enough));
      return call(controller.signal).finally(() => watching.unsubscribe());
    };
    await expect(aborted((signal) => app.spark.sweep({ entity: Item, signal }))).rejects.toBe(enough);
    expect(entered).toHaveLength(PAGE);
    expect(await app.spark.sweep({ entity: Item })).toMatchObject({
      subjects: MANY - PAGE + MANY,
      entered: MANY - PAGE,
    });
    await expect(aborted((signal) => app.spark.sweep({ entity: Item, from: 1, signal }))).rejects.toBe(enough);
    await expect(aborted((signal) => app.spark.baseline(Item, { signal }))).rejects.toBe(enough);
    expect(await app.spark.baseline(Item)).toMatchObject({ subjects: MANY, entered: 0 });
  });

  it('and reports how far it is, page by page, and what it did', async () => {
    await insertItems(upTo(MANY));
    await sql(`UPDATE item SET state = 'poison' WHERE id = 700`);
    const report = await app.spark.sweep({ entity: Item });
    const step = { source: 'Events.items', entity: 'Item', missed: expect.any(Number), refused: 0 };
    expect(progress).toMatchObject([
      { ...step, subjects: PAGE, entered: PAGE, failed: 0, passed: PAGE, done: false },
      { ...step, subjects: 2 * PAGE, entered: 2 * PAGE - 1, failed: 1, passed: 2 * PAGE, done: false },
      { ...step, subjects: MANY, entered: MANY - 1, failed: 1, passed: MANY, done: true },
    ]);
    expect(report).toEqual({
      subjects: MANY,
      entered: MANY - 1,
      missed: expect.any(Number),
      failed: 1,
      refused: 0,
      held: 0,
      elsewhere: 0,
      paused: 0,
      durationMs: expect.any(Number),
    });
    expect(app.logs.join('\n')).toMatch(
      new RegExp(`log Sweep: ${MANY} entities read, ${MANY - 1} new events, .*1 entities failed`),
    );
  });
});
