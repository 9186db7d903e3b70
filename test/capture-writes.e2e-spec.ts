import { Injectable } from '@nestjs/common';
import { EventSource, type SourceScope, sparkEvent } from 'nestjs-spark';
import {
  type BeforeQueryEvent,
  Column,
  DeleteDateColumn,
  Entity,
  type EntityManager,
  JoinTable,
  ManyToMany,
  ManyToOne,
  OneToMany,
  PrimaryGeneratedColumn,
  type Relation,
  Unique,
} from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Badge {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
}

@Entity()
class Owner {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
  @ManyToMany(() => Badge) @JoinTable() badges: Relation<Badge>[];
}

@Entity()
class Tag {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
}

@Entity()
@Unique(['code'])
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'varchar', length: 50, nullable: true }) code: string | null;
  @Column() state: string;
  @Column({ default: 0 }) level: number;
  @DeleteDateColumn() deletedAt: Date | null;
  @ManyToOne(() => Owner, { nullable: true }) owner: Relation<Owner> | null;
  @ManyToMany(() => Tag) @JoinTable() tags: Relation<Tag>[];
  @OneToMany(() => Part, (part) => part.item, { cascade: true }) parts: Relation<Part>[];
  @OneToMany(() => Bolt, (bolt) => bolt.item, { cascade: true }) bolts: Relation<Bolt>[];
  @OneToMany(() => Note, (note) => note.item, { cascade: true }) notes: Relation<Note>[];
}

@Entity()
@Unique(['barcode'])
class Part {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
  @Column({ type: 'varchar', length: 50, nullable: true }) barcode: string | null;
  @Column({ type: 'int', nullable: true }) itemId: number | null;
  @ManyToOne(() => Item, (item) => item.parts, { orphanedRowAction: 'nullify', onDelete: 'SET NULL' })
  item: Relation<Item> | null;
}

@Entity()
class Bolt {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
  @ManyToOne(() => Item, (item) => item.bolts, { orphanedRowAction: 'delete' }) item: Relation<Item>;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
  @DeleteDateColumn() deletedAt: Date | null;
  @ManyToOne(() => Item, (item) => item.notes, { orphanedRowAction: 'soft-delete' }) item: Relation<Item>;
}

/** What is true of an item: one event for each state that it ever had, by one source of each kind. */
@Injectable()
class ItemEvents {
  @EventSource(Item, { withDeleted: true })
  *own(item: Item) {
    yield sparkEvent('own', [item.id, stateOf(item)]);
  }

  @EventSource(Item, { withDeleted: true })
  async later(item: Item, { now }: SourceScope) {
    await Promise.resolve();
    return now ? [sparkEvent('later', [item.id, stateOf(item)])] : [];
  }

  @EventSource(Item, { relations: { parts: true, bolts: true, notes: true, tags: true, owner: { badges: true } } })
  *related(item: Item) {
    for (const name of ['parts', 'bolts', 'notes', 'tags'] as const)
      yield sparkEvent(name, [item.id, namesOf(item[name])]);
    yield sparkEvent('owner', [item.id, item.owner?.name ?? 'nobody']);
    yield sparkEvent('badges', [item.id, item.owner?.badges.map(({ name }) => name).join('+') ?? '']);
  }

  @EventSource(Part)
  *part(part: Part) {
    yield sparkEvent('part', [part.id, part.name, part.itemId ?? 'free']);
  }
}

const namesOf = (named: readonly { name: string }[]) =>
  named
    .map(({ name }) => name)
    .sort()
    .join('+');

const stateOf = ({ state, level, deletedAt }: Item) => [state, level, ...(deletedAt ? ['deleted'] : [])].join('/');

/** What a write has to make true, as keys. */
const both = (id: number, state: string) => [`own_${id},${state}`, `later_${id},${state}`];

interface Write {
  api: string;
  /** Makes what the write needs, before. */
  given?: (manager: EntityManager) => Promise<Item>;
  /** Whether that is partly done by raw SQL, which only a sweep finds. */
  unseen?: boolean;
  run: (manager: EntityManager, item: Item) => Promise<string[]>;
}

let serial = 0;
const code = () => `code-${++serial}`;
const saved = (manager: EntityManager, values: Partial<Item> = {}) =>
  manager.save(Item, { code: code(), state: 'new', ...values });

/** Raw SQL, which live capture cannot see. */
const rawSql = (manager: EntityManager, sql: string) =>
  manager.query(manager.dataSource.options.type === 'mariadb' ? sql.replaceAll('"', '`') : sql);

const writes: Write[] = [
  { api: 'save, new', run: async (m) => both((await saved(m)).id, 'new/0') },
  {
    api: 'save, changed',
    given: saved,
    run: async (m, item) => both((await m.save(Item, Object.assign(item, { state: 'changed' }))).id, 'changed/0'),
  },
  {
    api: 'save, partial',
    given: saved,
    run: async (m, { id }) => {
      await m.save(Item, { id, level: 7 });
      return both(id, 'new/7');
    },
  },
  {
    api: 'save of many, in chunks',
    run: async (m) => {
      const items = Array.from({ length: 30 }, () => m.create(Item, { code: code(), state: 'many' }));
      await m.save(items, { chunk: 7 });
      return items.flatMap(({ id }) => both(id, 'many/0'));
    },
  },
  {
    api: 'save with cascades',
    run: async (m) => {
      const item = await saved(m, { parts: [m.create(Part, { name: 'wheel' }), m.create(Part, { name: 'axle' })] });
      return [
        ...both(item.id, 'new/0'),
        `parts_${item.id},axle+wheel`,
        ...item.parts.map(({ id, name }) => `part_${id},${name},${item.id}`),
      ];
    },
  },
  {
    api: 'many-to-many, changed by save',
    given: saved,
    run: async (m, item) => {
      const tag = await m.save(Tag, { name: 'red' });
      await m.save(Item, { id: item.id, tags: [tag] });
      return [`tags_${item.id},red`];
    },
  },
  {
    api: 'many-to-many, by RelationQueryBuilder',
    given: saved,
    run: async (m, item) => {
      const tag = await m.save(Tag, { name: 'blue' });
      await m.createQueryBuilder().relation(Item, 'tags').of(item.id).add(tag.id);
      return [`tags_${item.id},blue`];
    },
  },
  {
    api: 'many-to-many, removed',
    given: async (m) => saved(m, { tags: [await m.save(Tag, { name: 'gone' })] }),
    run: async (m, item) => {
      await m.save(Item, { id: item.id, tags: [] });
      return [`tags_${item.id},`];
    },
  },
  {
    api: 'many-to-one only',
    given: saved,
    run: async (m, item) => {
      const owner = await m.save(Owner, { name: 'Ada' });
      await m.save(Item, { id: item.id, owner });
      return [`owner_${item.id},Ada`];
    },
  },
  {
    api: 'save of what an item belongs to',
    given: async (m) => saved(m, { owner: await m.save(Owner, { name: 'Bob' }) }),
    run: async (m, item) => {
      await m.save(Owner, { id: item.owner!.id, name: 'Robert' });
      return [`owner_${item.id},Robert`];
    },
  },
  {
    api: 'many-to-many of what an item belongs to, by save',
    given: async (m) => saved(m, { owner: await m.save(Owner, { name: 'Bea' }) }),
    run: async (m, item) => {
      await m.save(Owner, { id: item.owner!.id, badges: [await m.save(Badge, { name: 'gold' })] });
      return [`badges_${item.id},gold`];
    },
  },
  {
    api: 'many-to-many of what an item belongs to, by RelationQueryBuilder',
    given: async (m) =>
      saved(m, { owner: await m.save(Owner, { name: 'Bea', badges: [await m.save(Badge, { name: 'old' })] }) }),
    run: async (m, item) => {
      const [badge] = item.owner!.badges;
      await m.createQueryBuilder().relation(Owner, 'badges').of(item.owner!.id).remove(badge!.id);
      return [`badges_${item.id},`];
    },
  },
  {
    api: 'one-to-many orphan nullified',
    given: (m) => saved(m, { parts: [m.create(Part, { name: 'a' }), m.create(Part, { name: 'b' })] }),
    run: async (m, item) => {
      const [kept, left] = item.parts;
      await m.save(Item, { id: item.id, parts: [kept!] });
      return [`parts_${item.id},${kept!.name}`, `part_${left!.id},${left!.name},free`];
    },
  },
  {
    api: 'one-to-many orphan removed',
    given: (m) => saved(m, { bolts: [m.create(Bolt, { name: 'a' }), m.create(Bolt, { name: 'b' })] }),
    run: async (m, item) => {
      await m.save(Item, { id: item.id, bolts: [item.bolts[0]!] });
      return [`bolts_${item.id},a`];
    },
  },
  {
    api: 'one-to-many orphan soft-removed',
    given: (m) => saved(m, { notes: [m.create(Note, { name: 'a' }), m.create(Note, { name: 'b' })] }),
    run: async (m, item) => {
      await m.save(Item, { id: item.id, notes: [item.notes[0]!] });
      return [`notes_${item.id},a`];
    },
  },
  {
    api: 'one-to-many, by RelationQueryBuilder',
    given: saved,
    run: async (m, item) => {
      const part = await m.save(Part, { name: 'loose' });
      await m.createQueryBuilder().relation(Item, 'parts').of(item.id).add(part.id);
      return [`parts_${item.id},loose`, `part_${part.id},loose,${item.id}`];
    },
  },
  {
    api: 'many-to-one, by RelationQueryBuilder',
    given: saved,
    run: async (m, item) => {
      const owner = await m.save(Owner, { name: 'Cyd' });
      await m.createQueryBuilder().relation(Item, 'owner').of(item.id).set(owner.id);
      return [`owner_${item.id},Cyd`];
    },
  },
  {
    api: 'what an item belongs to, updated by criteria',
    given: async (m) => saved(m, { owner: await m.save(Owner, { name: 'Dan' }) }),
    run: async (m, item) => {
      await m.update(Owner, { id: item.owner!.id }, { name: 'Daniel' });
      return [`owner_${item.id},Daniel`];
    },
  },
  {
    api: 'many-to-many, its other side removed',
    given: async (m) => saved(m, { tags: [await m.save(Tag, { name: 'fading' })] }),
    run: async (m, item) => {
      await m.remove(Tag, await m.findOneByOrFail(Tag, { id: item.tags[0]!.id }));
      return [`tags_${item.id},`];
    },
  },
  {
    api: 'a child that is inserted',
    given: saved,
    run: async (m, item) => {
      await m.insert(Part, { name: 'bare', itemId: item.id });
      return [`parts_${item.id},bare`];
    },
  },
  {
    api: 'a child that is soft-deleted by criteria',
    given: (m) => saved(m, { notes: [m.create(Note, { name: 'fleeting' })] }),
    run: async (m, item) => {
      await m.softDelete(Note, { id: item.notes[0]!.id });
      return [`notes_${item.id},`];
    },
  },
  {
    api: 'a child that moves to another parent touches both',
    given: (m) => saved(m, { parts: [m.create(Part, { name: 'mover' })] }),
    run: async (m, item) => {
      const other = await saved(m);
      await m.save(Part, { id: item.parts[0]!.id, item: other });
      return [`parts_${item.id},`, `parts_${other.id},mover`];
    },
  },
  {
    api: 'a child that is removed',
    given: (m) => saved(m, { parts: [m.create(Part, { name: 'doomed' })] }),
    run: async (m, item) => {
      await m.remove(Part, await m.findBy(Part, { itemId: item.id }));
      return [`parts_${item.id},`];
    },
  },
  {
    api: 'a child that is deleted by criteria',
    given: (m) => saved(m, { parts: [m.create(Part, { name: 'doomed' })] }),
    run: async (m, item) => {
      await m.delete(Part, { itemId: item.id });
      return [`parts_${item.id},`];
    },
  },
  {
    api: 'a child that is moved by criteria touches both',
    given: (m) => saved(m, { parts: [m.create(Part, { name: 'pushed' })] }),
    run: async (m, item) => {
      const other = await saved(m);
      await m.update(Part, { itemId: item.id }, { itemId: other.id });
      return [`parts_${item.id},`, `parts_${other.id},pushed`];
    },
  },
  {
    api: 'a child that is moved by an upsert touches both',
    given: (m) => saved(m, { parts: [m.create(Part, { name: 'upserted', barcode: code() })] }),
    run: async (m, item) => {
      const other = await saved(m);
      const { name, barcode } = item.parts[0]!;
      await m.upsert(Part, { name, barcode, itemId: other.id }, ['barcode']);
      return [`parts_${item.id},`, `parts_${other.id},upserted`];
    },
  },
  {
    api: 'softRemove',
    given: saved,
    run: async (m, item) => {
      await m.softRemove(Item, await m.findOneByOrFail(Item, { id: item.id }));
      return both(item.id, 'new/0/deleted');
    },
  },
  {
    api: 'recover',
    unseen: true,
    given: async (m) => {
      const item = await saved(m);
      await rawSql(m, `UPDATE item SET state = 'back', "deletedAt" = CURRENT_TIMESTAMP WHERE id = ${item.id}`);
      return item;
    },
    run: async (m, { id }) => {
      await m.recover(Item, await m.findOneOrFail(Item, { where: { id }, withDeleted: true }));
      return both(id, 'back/0');
    },
  },
  {
    api: 'save with { reload: false }',
    run: async (m) => {
      const value = code();
      await m.save(m.create(Item, { code: value, state: 'blind' }), { reload: false });
      return both((await m.findOneByOrFail(Item, { code: value })).id, 'blind/0');
    },
  },
  {
    api: 'insert',
    run: async (m) => {
      const { identifiers } = await m.insert(
        Item,
        [1, 2, 3].map((level) => ({ code: code(), state: 'inserted', level })),
      );
      return identifiers.flatMap(({ id }, i) => both(id as number, `inserted/${i + 1}`));
    },
  },
  {
    api: 'QueryBuilder insert',
    run: async (m) => {
      const value = code();
      await m
        .createQueryBuilder()
        .insert()
        .into(Item)
        .values({ code: value, state: () => `'built'` })
        .execute();
      return both((await m.findOneByOrFail(Item, { code: value })).id, 'built/0');
    },
  },
  {
    api: 'upsert, of rows that exist and rows that do not',
    given: saved,
    run: async (m, item) => {
      const value = code();
      await m.upsert(
        Item,
        [
          { code: value, state: 'upserted' },
          { code: item.code, state: 'upserted' },
        ],
        ['code'],
      );
      return [
        ...both(item.id, 'upserted/0'),
        ...both((await m.findOneByOrFail(Item, { code: value })).id, 'upserted/0'),
      ];
    },
  },
  {
    api: 'orIgnore, of rows that exist and rows that do not',
    given: saved,
    run: async (m, item) => {
      const value = code();
      const rows = [
        { code: item.code, state: 'ignored' },
        { code: value, state: 'kept' },
      ];
      await m.createQueryBuilder().insert().into(Item).values(rows).orIgnore().execute();
      return both((await m.findOneByOrFail(Item, { code: value })).id, 'kept/0');
    },
  },
  {
    api: 'update by criteria',
    given: saved,
    run: async (m, item) => {
      await m.update(Item, { code: item.code! }, { state: 'updated' });
      return both(item.id, 'updated/0');
    },
  },
  {
    api: 'update by criteria that no longer match afterwards',
    given: (m) => saved(m, { state: 'before' }),
    run: async (m, item) => {
      await m.update(Item, { state: 'before', code: item.code! }, { state: 'after' });
      return both(item.id, 'after/0');
    },
  },
  {
    api: 'increment',
    given: saved,
    run: async (m, item) => {
      await m.increment(Item, { id: item.id }, 'level', 3);
      return both(item.id, 'new/3');
    },
  },
  {
    api: 'updateAll',
    given: saved,
    run: async (m, item) => {
      const level = 1_000 + ++serial;
      await m.updateAll(Item, { level });
      return both(item.id, `new/${level}`);
    },
  },
  {
    api: 'QueryBuilder update',
    given: saved,
    run: async (m, item) => {
      await m
        .createQueryBuilder()
        .update(Item)
        .set({ state: 'qb' })
        .where('code = :it OR id = :id', { it: item.code, id: item.id })
        .execute();
      return both(item.id, 'qb/0');
    },
  },
  {
    api: 'softDelete',
    given: saved,
    run: async (m, item) => {
      await m.softDelete(Item, { code: item.code! });
      return both(item.id, 'new/0/deleted');
    },
  },
  {
    api: 'restore',
    unseen: true,
    given: async (m) => {
      const item = await saved(m);
      await rawSql(m, `UPDATE item SET state = 'restored', "deletedAt" = CURRENT_TIMESTAMP WHERE id = ${item.id}`);
      return item;
    },
    run: async (m, { id }) => {
      await m.restore(Item, { id });
      return both(id, 'restored/0');
    },
  },
];

/** In what a write happens. `kept` says whether it is there in the end. */
const surroundings: {
  name: string;
  kept: boolean;
  run: (manager: EntityManager, work: (m: EntityManager) => Promise<void>) => Promise<void>;
}[] = [
  { name: 'on its own', kept: true, run: (manager, work) => work(manager) },
  { name: 'in a transaction', kept: true, run: (manager, work) => manager.transaction(work) },
  {
    name: 'in a nested one',
    kept: true,
    run: (manager, work) => manager.transaction((outer) => outer.transaction(work)),
  },
  {
    name: 'beside a nested one that failed and was swallowed',
    kept: true,
    run: (manager, work) =>
      manager.transaction(async (outer) => {
        await outer
          .transaction(failing(async (inner) => void (await saved(inner, { state: 'ghost' }))))
          .catch(() => undefined);
        await work(outer);
      }),
  },
  {
    name: 'in a nested one that failed and was swallowed',
    kept: false,
    run: (manager, work) => manager.transaction((outer) => outer.transaction(failing(work)).catch(() => undefined)),
  },
  {
    name: 'in one that is rolled back',
    kept: false,
    run: (manager, work) => manager.transaction(failing(work)).catch(() => undefined),
  },
];

const failing = (work: (m: EntityManager) => Promise<void>) => async (manager: EntityManager) => {
  await work(manager);
  throw new Error('on purpose');
};

describe.each(databases)('live capture sees every write, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({
      database: db,
      entities: [Badge, Owner, Tag, Item, Part, Bolt, Note],
      providers: [ItemEvents],
      spark: { worker: false },
    });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const keys = async () =>
    (await app.dataSource.query('SELECT event_key FROM spark_event')).map((row: any) =>
      String(row.event_key),
    ) as string[];

  describe.each(surroundings)('$name', ({ kept, run }) => {
    it.each(writes)('$api', async ({ given, unseen: byHand, run: write }) => {
      const { manager } = app.dataSource;
      const item = (await given?.(manager)) as Item;
      if (byHand) await app.spark.sweep();
      await app.spark.drain();
      const before = new Set(await keys());
      let expected: string[] = [];
      await run(manager, async (m) => void (expected = await write(m, item)));
      await app.spark.drain();
      const after = await keys();
      const fresh = after.filter((key) => !before.has(key));

      expect(expected.filter((key) => before.has(key))).toEqual([]);
      if (kept) expect(after).toEqual(expect.arrayContaining(expected));
      else expect(fresh).toEqual([]);
      expect(after.filter((key) => key.includes('ghost'))).toEqual([]);
    });
  });

  it('a save without a transaction', async () => {
    const item = await app.dataSource.manager.save(Item, { code: code(), state: 'bare' }, { transaction: false });
    await app.spark.drain();
    expect(await keys()).toEqual(expect.arrayContaining(both(item.id, 'bare/0')));
  });

  it.skipIf(database.name !== 'PostgreSQL')(
    'an update by criteria of rows that begin to match while it waits',
    async () => {
      const { manager } = app.dataSource;
      const { id } = await saved(manager, { state: 'unpaid' });
      const other = app.dataSource.createQueryRunner();
      await other.startTransaction();
      await other.query(`UPDATE item SET state = 'paid' WHERE id = ${id}`);
      // The other transaction commits just before the UPDATE is sent: after all that Spark may have looked up for it.
      const between = {
        beforeQuery: ({ query, queryRunner }: BeforeQueryEvent) =>
          query.includes('UPDATE "item"') && queryRunner !== other && other.isTransactionActive
            ? other.commitTransaction()
            : undefined,
      };
      app.dataSource.subscribers.push(between);
      await manager.update(Item, { state: 'paid' }, { state: 'shipped' });
      app.dataSource.subscribers.splice(app.dataSource.subscribers.indexOf(between), 1);
      await other.release();
      await app.spark.drain();
      expect(await keys()).toEqual(expect.arrayContaining(both(id, 'shipped/0')));
    },
  );

  it('nothing is left for the sweep', async () => {
    const found: string[] = [];
    app.spark.events$.subscribe(({ key }) => found.push(key));
    const report = await app.spark.sweep();
    expect(found).toEqual([]);
    expect(report).toMatchObject({ entered: 0, failed: 0, refused: 0 });
  });
});
