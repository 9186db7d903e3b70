import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent, type SourceScope, type SparkEvent, type SparkModuleOptions } from 'nestjs-spark';
import { Column, DeleteDateColumn, Entity, ManyToOne, OneToMany, PrimaryGeneratedColumn, type Relation } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { DAY, SetClock } from './support/set-clock.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() state: string;
  @OneToMany(() => Part, (part) => part.item) parts: Relation<Part>[];
  @DeleteDateColumn() deletedAt: Date | null;
}

@Entity()
class Part {
  @PrimaryGeneratedColumn() id: number;
  @Column() weight: number;
  @ManyToOne(() => Item, (item) => item.parts) item: Relation<Item>;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() state: string;
  @Column({ type: 'bigint', nullable: true }) due: string | null;
}

const entities = [Item, Part, Note];

const MANY = 1_203;
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
/** Items have one of three states, and none to three parts, of the weights 1, 2, 3. */
const stateOf = (id: number) => ['open', 'wide', 'new'][id % 3]!;
const partsOf = (id: number) => upTo(id % 4);
const DELETED = 1_000;

/** What each source was handed: the id of an item and the weights of its parts. */
const handed = new Map<string, [number, number[] | undefined][]>();
function take(name: string, { id, parts }: Item): SparkEvent[] {
  const weights = parts?.map(({ weight }) => weight).sort();
  handed.set(name, [...(handed.get(name) ?? []), [id, weights]]);
  return [];
}

@Injectable()
class Sources {
  readonly batches: number[] = [];

  @EventSource(Item) nothing(item: Item) {
    return take('nothing', item);
  }
  @EventSource(Item, { where: { state: 'open' } }) where(item: Item) {
    return take('where', item);
  }
  @EventSource(Item, { where: [{ state: 'open' }, { state: 'wide' }] }) either(item: Item) {
    return take('either', item);
  }
  @EventSource(Item, { relations: { parts: true } }) relations(item: Item) {
    return take('relations', item);
  }
  @EventSource(Item, { relations: { parts: true }, where: { state: 'open' } }) both(item: Item) {
    return take('both', item);
  }
  @EventSource(Item, { where: { parts: { weight: 2 } } }) related(item: Item) {
    return take('related', item);
  }
  @EventSource(Item, { withDeleted: true }) withDeleted(item: Item) {
    return take('withDeleted', item);
  }
  @EventSource(Item, {
    query: (qb) => qb.innerJoin(`${qb.alias}.parts`, 'p').andWhere('p.weight > :least', { least: 1 }),
  })
  joined(item: Item) {
    return take('joined', item);
  }
  @EventSource(Item, { query: (qb) => qb.leftJoinAndSelect(`${qb.alias}.parts`, 'p', 'p.weight = 3') })
  selected(item: Item) {
    return take('selected', item);
  }
  @EventSource(Item, { query: (qb) => qb.andWhere(`${qb.alias}.state = 'open' OR ${qb.alias}.state = 'wide'`) })
  or(item: Item) {
    return take('or', item);
  }
  @EventSource(Item, { query: (qb) => qb.orderBy(`${qb.alias}.state`, 'DESC') }) ordered(item: Item) {
    return take('ordered', item);
  }
  @EventSource(Item, { batch: true, relations: { parts: true } }) async batch(items: Item[], { now }: SourceScope) {
    this.batches.push(items.length);
    for (const item of items) take('batch', item);
    return items.map(({ id }) => sparkEvent('batched', id, { now }));
  }
}

@Injectable()
class Failing {
  readonly seen: number[] = [];

  @EventSource(Item, { query: (qb) => qb.andWhere('no_such_column = 1') }) unreadable() {
    return [];
  }
  @EventSource(Item, { batch: true }) async batch(items: Item[]) {
    if (items.some(({ id }) => id === 700)) throw new Error('a bad batch');
    return items.map(({ id }) => sparkEvent('batched', id));
  }
  @EventSource(Note) *fine({ id }: Note) {
    yield sparkEvent('fine', id);
  }
}

@Injectable()
class Notes {
  @EventSource(Note) *notes({ id }: Note) {
    yield sparkEvent('notes', id);
  }
  @EventSource(Note, { live: false }) *swept({ id }: Note) {
    yield sparkEvent('swept', id);
  }
  @EventSource(Note, { live: true }) *live({ id }: Note) {
    yield sparkEvent('live', id);
  }
  @EventSource(Note, { live: false }) *sweptLater({ id, due }: Note) {
    yield sparkEvent('swept_later', id, undefined, { at: due === null ? null : new Date(Number(due)) });
  }
  @EventSource(Note) *later({ id, due }: Note) {
    yield sparkEvent('later', id, undefined, { at: due === null ? null : new Date(Number(due)) });
  }
}

describe.each(databases)('a source says what the sweep reads, on $name', (database) => {
  let db: TestDatabase;

  beforeAll(async () => {
    db = await database.create();
  });
  afterAll(() => db.drop());

  const clock = new SetClock();
  const start = async (provider: new () => object, spark: SparkModuleOptions = {}): Promise<TestApp> =>
    startApp({
      database: db,
      entities,
      providers: [provider],
      clock,
      spark: { worker: { pollInterval: '1h' }, ...spark },
    });
  const sql = ({ dataSource }: TestApp, statement: string) =>
    dataSource.query(database.name === 'MariaDB' ? statement.replaceAll('"', '`') : statement);
  const rows = (values: unknown[][]) => values.map((row) => `(${row.join(', ')})`).join(', ');

  describe('among more than a page of items', () => {
    /** How many entities the sweep says it has read, by source. */
    const counted = new Map<string, number>();
    let entered: number;
    let batches: number[];

    beforeAll(async () => {
      handed.clear();
      const app = await start(Sources);
      await sql(app, `INSERT INTO item (id, state) VALUES ${rows(upTo(MANY).map((id) => [id, `'${stateOf(id)}'`]))}`);
      const parts = upTo(MANY).flatMap((id) => partsOf(id).map((weight) => [weight, id]));
      await sql(app, `INSERT INTO part (weight, "itemId") VALUES ${rows(parts)}`);
      await sql(app, `UPDATE item SET "deletedAt" = '2026-01-01' WHERE id = ${DELETED}`);
      app.spark.sweeps$.subscribe(({ source, subjects }) => counted.set(source, subjects));
      ({ entered } = await app.spark.sweep());
      ({ batches } = app.app.get(Sources));
      await app.close();
    });

    const is =
      (...states: string[]) =>
      (id: number) =>
        states.includes(stateOf(id));
    it.each<[string, (id: number) => boolean, ((id: number) => number[])?]>([
      ['nothing', () => true],
      ['where', is('open')],
      ['either', is('open', 'wide')],
      ['relations', () => true, partsOf],
      ['both', is('open'), partsOf],
      ['related', (id) => partsOf(id).includes(2)],
      ['joined', (id) => partsOf(id).includes(2)],
      ['selected', () => true, (id) => partsOf(id).filter((weight) => weight === 3)],
      ['or', is('open', 'wide')],
      ['ordered', () => true],
      ['batch', () => true, partsOf],
    ])('%s', (name, condition, weights) => {
      const ids = upTo(MANY).filter((id) => id !== DELETED && condition(id));
      const got = (handed.get(name) ?? []).toSorted(([a], [b]) => a - b);
      expect(got.map(([id]) => id)).toEqual(ids);
      expect(counted.get(`Sources.${name}`)).toBe(ids.length);
      expect(got.map(([, given]) => given)).toEqual(ids.map((id) => weights?.(id)));
    });

    it('a batch is a page', () => {
      expect(batches).toEqual([500, 500, 202]);
      expect(entered).toBe(MANY - 1);
    });

    it('withDeleted', () => {
      expect(
        handed
          .get('withDeleted')!
          .map(([id]) => id)
          .sort((a, b) => a - b),
      ).toEqual(upTo(MANY));
    });

    it('a batch that fails, or a source that cannot be read, stops nothing else', async () => {
      const app = await start(Failing);
      await sql(app, 'DELETE FROM spark_event');
      await sql(app, `INSERT INTO note (state) VALUES ('new')`);
      const report = await app.spark.sweep().catch((error: Error) => error);
      const found = await sql(
        app,
        'SELECT event_group, COUNT(*) AS n FROM spark_event GROUP BY event_group ORDER BY 1',
      );
      const logs = app.logs.join('\n');
      await sql(app, 'DELETE FROM note');
      await app.close();

      expect(found.map(Object.values).map(([group, n]: unknown[]) => [group, Number(n)])).toEqual([
        ['batched', MANY - 2],
        ['fine', 1],
      ]);
      expect(report).toMatchObject({ entered: MANY - 1 });
      expect(logs).toMatch(/Failing\.batch failed for Item .*a bad batch/);
      expect(logs).toMatch(/Failing\.unreadable failed.*no_such_column/);
    });
  });

  describe('live: false leaves it to the sweep,', () => {
    let app: TestApp;

    const fresh = async (spark?: SparkModuleOptions) => {
      app = await start(Notes, spark);
      await sql(app, 'DELETE FROM note');
      await sql(app, 'DELETE FROM spark_event');
      await sql(app, 'DELETE FROM spark_recheck');
    };
    afterEach(() => app.close());

    /** The groups of the events that come of it. */
    const entered = async (work: () => Promise<unknown>) => {
      const groups: string[] = [];
      const subscription = app.spark.events$.subscribe(({ group }) => groups.push(group));
      await work();
      await app.spark.drain();
      subscription.unsubscribe();
      return groups.sort();
    };
    const save = (due?: number) =>
      app.dataSource.manager.save(Note, { state: 'new', due: due === undefined ? null : String(due) });
    const sweep = () => app.spark.sweep();
    const nothing = async () => undefined;

    it('on a source', async () => {
      await fresh();
      expect(await entered(() => save())).toEqual(['live', 'notes']);
      expect(await entered(() => app.dataSource.manager.updateAll(Note, { state: 'changed' }))).toEqual([]);
      expect(await entered(sweep)).toEqual(['swept']);
      expect(await entered(sweep)).toEqual([]);
    });

    it('on the module, unless a source says otherwise', async () => {
      await fresh({ live: false });
      expect(await entered(() => save(clock.now() + DAY))).toEqual(['live']);
      expect(await entered(sweep)).toEqual(['notes', 'swept']);
      // Nobody would take a recheck.
      expect(await sql(app, 'SELECT * FROM spark_recheck')).toEqual([]);
    });

    it('the future included: an event is entered by the first sweep after its instant', async () => {
      await fresh();
      const due = clock.now() + DAY;
      expect(await entered(() => save(due))).toEqual(['live', 'notes']);
      expect(await entered(sweep)).toEqual(['swept']);
      clock.pass(DAY);
      expect(await entered(nothing)).toEqual(['later']);
      expect(await entered(sweep)).toEqual(['swept_later']);
    });

    it('but what is live, and found by the sweep, comes at its instant', async () => {
      await fresh();
      const due = clock.now() + DAY;
      await sql(app, `INSERT INTO note (state, due) VALUES ('new', ${due})`);
      expect(await entered(sweep)).toEqual(['live', 'notes', 'swept']);
      clock.pass(DAY);
      expect(await entered(nothing)).toEqual(['later']);
    });
  });
});
