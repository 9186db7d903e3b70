import { type DynamicModule, Global, Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, SparkModule } from 'nestjs-spark';
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './support/app.js';
import { inMemory } from './support/refusal.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

const apps: TestApp[] = [];

async function start(options: Partial<TestAppOptions>): Promise<TestApp> {
  const app = await startApp({ database: inMemory(), entities: [Item], ...options });
  apps.push(app);
  return app;
}

/** The keys that a new item's events have, and the calls of handlers, both sorted. */
async function keysAndCalls({ spark, dataSource }: TestApp) {
  const keys: string[] = [];
  const calls: string[] = [];
  spark.events$.subscribe(({ key }) => keys.push(key));
  spark.deliveries$.subscribe(({ handler, key, state }) => calls.push(`${handler} ${key} ${state}`));
  await dataSource.manager.save(Item, { title: 'x' });
  await spark.drain();
  return { keys: keys.sort(), calls: calls.sort() };
}

afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

describe('sources and handlers are found', () => {
  it('whatever lists them first: the class, its alias, or another module', async () => {
    @Injectable()
    class Listed {
      @EventSource(Item) *events({ id }: Item) {
        yield sparkEvent('listed', id);
      }
      @GroupHandler(/^listed$/) handle() {}
    }
    const alias = { provide: 'alias', useExisting: Listed };
    const same = { provide: 'same', useFactory: (listed: Listed) => listed, inject: [Listed] };
    @Module({ providers: [alias, Listed] })
    class First {}
    @Module({ providers: [Listed, alias, same] })
    class Second {}
    const app = await start({ providers: [alias, Listed], imports: [{ module: First }, { module: Second }] });
    expect(await keysAndCalls(app)).toEqual({ keys: ['listed_1'], calls: ['Listed.handle listed_1 completed'] });
  });

  it('among providers of every shape', async () => {
    const bare = Object.create(null) as object;
    const app = await start({
      providers: [
        { provide: 'null', useValue: null },
        { provide: 'text', useValue: 'text' },
        { provide: 'function', useValue: () => undefined },
        { provide: 'bare', useValue: bare },
        { provide: 'on a bare one', useValue: Object.create(Object.assign(Object.create(null), { send() {} })) },
        { provide: 'nothing', useFactory: () => undefined },
        { provide: Symbol('symbol'), useFactory: async () => new Date() },
        {
          provide: 'throws when it is read',
          useFactory: () =>
            new (class {
              get boom(): never {
                throw new Error('boom');
              }
            })(),
        },
      ],
    });
    expect(await keysAndCalls(app)).toEqual({ keys: [], calls: [] });
  });

  it('handlers by text and by expressions, whose flags `g` and `y` do not matter', async () => {
    @Injectable()
    class Events {
      @EventSource(Item) *items({ id }: Item) {
        for (const key of ['a', 'b', 'c']) yield sparkEvent('Item.made', id, undefined, { key });
      }
      @GroupHandler('item', { name: 'text, case matters' }) none() {}
      @GroupHandler('Item.made$', { name: 'text' }) text() {}
      @GroupHandler(/made/g, { name: 'g' }) global() {}
      @GroupHandler(/made/y, { name: 'y' }) sticky() {}
      @GroupHandler(/ITEM\.made/giy, { name: 'giy' }) all() {}
    }
    const { calls } = await keysAndCalls(await start({ providers: [Events] }));
    expect(calls).toEqual(
      ['g', 'giy', 'text', 'y'].flatMap((name) => ['a', 'b', 'c'].map((key) => `${name} ${key} completed`)),
    );
  });

  describe('before other modules write when they are initialised', () => {
    @Injectable()
    class Events {
      @EventSource(Item) *items({ id }: Item) {
        yield sparkEvent('item', id);
      }
    }
    @Injectable()
    class Seed implements OnModuleInit {
      constructor(private readonly dataSource: DataSource) {}

      async onModuleInit() {
        await this.dataSource.manager.save(Item, { title: 'seed' });
      }
    }
    @Module({ providers: [Seed] })
    class Seeds {}
    @Module({ imports: [Seeds] })
    class Deep {}
    @Module({ imports: [Deep] })
    class Deeper {}
    @Global()
    @Module({ providers: [Seed] })
    class Everywhere {}

    it.each<[string, DynamicModule, DynamicModule]>([
      ['deep below', SparkModule.forRoot(), { module: Deeper }],
      ['deep below, with isGlobal: false', SparkModule.forRoot({ isGlobal: false }), { module: Deeper }],
      ['global ones', SparkModule.forRoot(), { module: Everywhere }],
      ['global ones that are imported first', { module: Everywhere }, SparkModule.forRoot()],
    ])('%s', async (_, first, second) => {
      const { dataSource } = await start({ providers: [Events], spark: first, imports: [second] });
      expect(await dataSource.query('SELECT event_key FROM spark_event')).toEqual([{ event_key: 'item_1' }]);
    });
  });

  it('and the compiler checks what they take', () => {
    // Never called: `npm run typecheck` is the test.
    const define = () => {
      class Wrong {
        // @ts-expect-error A source of items is not handed dates.
        @EventSource(Item) *ofDates(_date: Date) {}
        // @ts-expect-error A batch is an array.
        @EventSource(Item, { batch: true }) *ofOne(_item: Item) {}
        // @ts-expect-error Without batch it is one entity.
        @EventSource(Item) *ofMany(_items: Item[]) {}
        // @ts-expect-error A source gives events.
        @EventSource(Item) *ofText(_item: Item) {
          yield 'made';
        }
        // @ts-expect-error Relations are those of the entity.
        @EventSource(Item, { relations: { parts: true } }) *ofParts(_item: Item) {}
        // @ts-expect-error A getter is no method.
        @GroupHandler(/./) get none() {
          return 0;
        }
      }
      return Wrong;
    };
    expect(define).toBeTypeOf('function');
  });
});
