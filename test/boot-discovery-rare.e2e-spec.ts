import { Controller, Injectable, Module } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkHandler, type SparkSource } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
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

describe('every source and handler is found, once', () => {
  it('on methods, on classes, on controllers', async () => {
    @Injectable()
    class OnMethods {
      @EventSource(Item) *events({ id }: Item) {
        yield sparkEvent('method', id);
      }
      @EventSource(Item) async awaited({ id }: Item) {
        return [sparkEvent('async', id)];
      }
      @EventSource(Item) async *streamed({ id }: Item) {
        yield sparkEvent('stream', id);
      }
      @EventSource(Item) listed({ id }: Item) {
        return [sparkEvent('list', id)];
      }
      @GroupHandler(/^method$/) handle() {}
    }
    @EventSource(Item)
    @Injectable()
    class OnClass implements SparkSource<Item> {
      *events({ id }: Item) {
        yield sparkEvent('class', id);
      }
    }
    @GroupHandler('^(class|controller)$', { name: 'class' })
    @Injectable()
    class HandlerClass implements SparkHandler {
      handle() {}
    }
    @Controller()
    class OnController {
      @EventSource(Item) *events({ id }: Item) {
        yield sparkEvent('controller', id);
      }
      @GroupHandler(/^controller/, { name: 'controller' }) handle() {}
    }
    @Module({ controllers: [OnController] })
    class Web {}
    const app = await start({ providers: [OnMethods, OnClass, HandlerClass], imports: [{ module: Web }] });

    expect(await keysAndCalls(app)).toEqual({
      keys: ['async_1', 'class_1', 'controller_1', 'list_1', 'method_1', 'stream_1'],
      calls: [
        'OnMethods.handle method_1 completed',
        'class class_1 completed',
        'class controller_1 completed',
        'controller controller_1 completed',
      ],
    });
  });

  it('inherited, overridden, and named by symbols', async () => {
    const secret = Symbol('secret');
    abstract class Base {
      abstract readonly group: string;
      @EventSource(Item) *inherited({ id }: Item) {
        yield sparkEvent(this.group, id);
      }
      @EventSource(Item) overridden({ id }: Item) {
        return [sparkEvent('overridden', id)];
      }
      @EventSource(Item) replaced({ id }: Item) {
        return [sparkEvent('replaced', id)];
      }
      @GroupHandler(/^(one|two)$/) handle() {}
    }
    @Injectable()
    class One extends Base {
      readonly group = 'one';
      // Without the decorator it is no source any more.
      override overridden() {
        return [];
      }
      @EventSource(Item) override replaced({ id }: Item) {
        return [sparkEvent('replacement', id)];
      }
      @EventSource(Item) *[secret]({ id }: Item) {
        yield sparkEvent('symbol', id);
      }
    }
    @Injectable()
    class Two extends Base {
      readonly group = 'two';
      override overridden() {
        return [];
      }
      override replaced() {
        return [];
      }
    }

    const { keys, calls } = await keysAndCalls(await start({ providers: [One, Two] }));
    expect(keys).toEqual(['one_1', 'replacement_1', 'symbol_1', 'two_1']);
    expect(calls).toEqual([
      'One.handle one_1 completed',
      'One.handle two_1 completed',
      'Two.handle one_1 completed',
      'Two.handle two_1 completed',
    ]);
  });

  it('aliases, second listings and instances that others made, each once', async () => {
    const calls: string[] = [];
    @Injectable()
    class Listed {
      @EventSource(Item) *events({ id }: Item) {
        calls.push('listed');
        yield sparkEvent('listed', id);
      }
      @GroupHandler(/^listed$/, { name: 'listed' }) handle() {}
    }
    class Made {
      @EventSource(Item) *events({ id }: Item) {
        calls.push('made');
        yield sparkEvent('made', id);
      }
    }
    class Given {
      @EventSource(Item) *events({ id }: Item) {
        calls.push('given');
        yield sparkEvent('given', id);
      }
    }
    const given = new Given();
    @Module({ providers: [Listed] })
    class Second {}
    const app = await start({
      providers: [
        Listed,
        { provide: 'alias', useExisting: Listed },
        { provide: 'made', useFactory: () => new Made() },
        { provide: 'made again', useExisting: 'made' },
        { provide: 'given', useValue: given },
        { provide: 'given again', useValue: given },
      ],
      imports: [{ module: Second }],
    });

    expect(await keysAndCalls(app)).toEqual({
      keys: ['given_1', 'listed_1', 'made_1'],
      calls: ['listed listed_1 completed'],
    });
    expect(calls.sort()).toEqual(['given', 'listed', 'made']);
  });

  it('one method for two entities, one handler for two patterns', async () => {
    @Entity()
    class Other {
      @PrimaryGeneratedColumn() id: number;
    }
    @Injectable()
    class Events {
      @EventSource(Item)
      @EventSource(Other)
      *both(row: Item | Other) {
        yield sparkEvent(row.constructor.name, row.id);
      }
      @GroupHandler(/^Item/, { name: 'items' })
      @GroupHandler(/^Other/, { name: 'others' })
      handle() {}
    }
    const app = await start({ entities: [Item, Other], providers: [Events] });
    await app.dataSource.manager.save(new Other());
    expect((await keysAndCalls(app)).calls).toEqual(['items Item_1 completed', 'others Other_1 completed']);
  });

  it('and the compiler checks what they take', () => {
    class Wrong {
      // @ts-expect-error A source of items is not handed dates.
      @EventSource(Item) ofDates(_date: Date) {
        return [];
      }
      // @ts-expect-error A batch is an array.
      @EventSource(Item, { batch: true }) ofOne(_item: Item) {
        return [];
      }
    }
    void Wrong;
  });
});
