import { resolve } from 'node:path';
import { type DynamicModule, type INestApplicationContext, Injectable } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  DiscardDelivery,
  DuplicateModuleError,
  EventSource,
  GroupHandler,
  RetryLater,
  SPARK_CLOCK,
  type SparkEvent,
  SparkError,
  SparkModule,
  SparkService,
  type StandardSchema,
} from 'nestjs-spark';
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Bundle, bundle } from '../tools/bundle.mjs';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Order {
  @PrimaryGeneratedColumn() id: number;
  @Column() state: string;
}

/** What a library brings that was installed with a copy of the package of its own. */
type Copy = typeof import('nestjs-spark');

/** The sources and handlers of that library. */
function providersOf(copy: Copy) {
  @Injectable()
  class Orders {
    @copy.EventSource(Order, { name: 'orders' })
    *events(order: Order) {
      yield copy.sparkEvent('done', order.id);
      yield copy.sparkEvent('hopeless', order.id);
      yield copy.sparkEvent('later', order.id);
      yield copy.sparkEvent('was', order.id, { was: copy.snapshot(order) });
      yield copy.sparkEvent('nobody', null as never);
    }
  }

  @Injectable()
  class Handlers {
    readonly handled: unknown[] = [];

    @copy.GroupHandler(/^done$/, { name: 'done' }) done({ key }: SparkEvent) {
      this.handled.push(key);
    }
    @copy.GroupHandler(/^hopeless$/, { name: 'hopeless' }) hopeless() {
      throw new copy.DiscardDelivery('never');
    }
    @copy.GroupHandler(/^later$/, { name: 'later' }) later() {
      throw new copy.RetryLater('1h', 'not now');
    }
    @copy.GroupHandler(/^was$/, { name: 'was' }) was({ context }: SparkEvent<{ was: Order }>) {
      this.handled.push(context.was);
    }
  }
  return { providers: [Orders, Handlers], Handlers };
}

describe('two copies of the package work together', () => {
  let program: Bundle;
  let copy: Copy;
  let db: TestDatabase;
  let app: TestApp | undefined;

  beforeAll(async () => {
    program = await bundle(resolve(import.meta.dirname, '../libs/spark/src/index.ts'));
    copy = (await import(program.path)) as Copy;
    db = await databases[0]!.create();
  });
  afterEach(() => app?.close());
  afterAll(async () => {
    program.remove();
    await db.drop();
  });

  it('what one decorates, yields and throws, the other finds, takes and knows', async () => {
    expect(copy.EventSource).not.toBe(EventSource);
    const { providers, Handlers } = providersOf(copy);
    app = await startApp({ database: db, entities: [Order], providers });
    expect(app.logs.join('\n')).toContain('event sources: 1, handlers: 4');
    const order = await app.dataSource.manager.save(Order, { state: 'new' });
    await app.spark.drain();

    const rows = await app.dataSource.query(`SELECT handler, state, attempt, last_error FROM spark_delivery`);
    const byHandler = new Map((rows as { handler: string }[]).map((row) => [row.handler, row]));
    expect(byHandler.get('done')).toMatchObject({ state: 'completed' });
    expect(byHandler.get('hopeless')).toMatchObject({ state: 'discarded', attempt: 1 });
    expect(byHandler.get('later')).toMatchObject({ state: 'available', attempt: 0 });
    // A snapshot stays one: were it a reference, it would follow its row.
    const { handled } = app.app.get(Handlers) as { handled: unknown[] };
    expect(handled).toEqual([`done_${order.id}`, expect.objectContaining({ state: 'new' })]);
    const [{ context }] = await app.dataSource.query(`SELECT context FROM spark_event WHERE event_group = 'was'`);
    expect(context).toContain('"state":"new"');
    // Why an event is refused is known, too.
    expect(app.logs.join('\n')).toMatch(/its id is null/);
  });

  it('and errors of one are errors of the other, of the same kind', () => {
    const hopeless = new copy.DiscardDelivery('never');
    expect(hopeless).toBeInstanceOf(SparkError);
    expect(hopeless).toBeInstanceOf(DiscardDelivery);
    expect(hopeless).not.toBeInstanceOf(RetryLater);
    expect(new copy.RetryLater('1s')).toBeInstanceOf(RetryLater);
    expect(new Error('other')).not.toBeInstanceOf(SparkError);
    class Gone extends copy.DiscardDelivery {}
    class Other extends DiscardDelivery {}
    expect(new Gone('gone')).toBeInstanceOf(DiscardDelivery);
    expect(new Gone('gone')).not.toBeInstanceOf(Other);
    expect(copy.SPARK_CLOCK).toBe(SPARK_CLOCK);
  });

  it('and definitions of one are definitions of the other, with their schemas', async () => {
    const schema: StandardSchema<{ at: string }> = {
      '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: [{ message: 'wrong' }] }) },
    };
    const defined = copy.defineEvent('defined', { schema });
    @Injectable()
    class Handlers {
      @GroupHandler(defined, { name: 'defined' }) handle() {}
    }
    app = await startApp({ database: db, entities: [Order], providers: [Handlers] });
    await expect(app.spark.emit(defined(1, { at: '' }))).rejects.toThrow('context: wrong');
  });

  it('an application in which nothing was found says so', async () => {
    app = await startApp({ database: db, entities: [Order] });
    expect(app.logs.join('\n')).toMatch(/warn No event source and no handler was found/);
    await app.close();
    @Injectable()
    class Handlers {
      @GroupHandler(/^x/, { name: 'x' }) x() {}
    }
    app = await startApp({ database: db, entities: [Order], providers: [Handlers] });
    expect(app.logs.join('\n')).not.toMatch(/was found/);
  });
});

describe.each(databases)('a SparkModule of each copy, on $name', (database) => {
  let program: Bundle;
  let copy: Copy;
  let db: TestDatabase;
  let dataSource: DataSource;

  beforeAll(async () => {
    program = await bundle(resolve(import.meta.dirname, '../libs/spark/src/index.ts'));
    copy = (await import(program.path)) as Copy;
  });
  beforeEach(async () => {
    db = await database.create();
    dataSource = await new DataSource({ ...db.options, entities: [Order], synchronize: true }).initialize();
  });
  afterEach(async () => {
    if (dataSource.isInitialized) await dataSource.destroy();
    await db.drop();
  });
  afterAll(() => program.remove());

  class App {}
  const boot = (...modules: DynamicModule[]) => {
    const typeorm = TypeOrmModule.forRootAsync({
      useFactory: () => db.options,
      dataSourceFactory: async () => dataSource,
    });
    const module = { module: App, imports: [typeorm, ...modules], providers: providersOf(copy).providers };
    return NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
  };
  const eventsOf = async (app: INestApplicationContext) => {
    const { id } = await dataSource.manager.save(Order, { state: 'new' });
    await app.get(SparkService).drain();
    const [{ count }] = await dataSource.query(
      `SELECT COUNT(*) AS count FROM spark_event WHERE event_key = 'done_${id}'`,
    );
    return Number(count);
  };

  it('is refused by name where both have one DataSource, whichever comes first', async () => {
    for (const modules of [
      [SparkModule.forRoot(), copy.SparkModule.forRoot()],
      [copy.SparkModule.forRoot({ tablePrefix: 'other_' }), SparkModule.forRoot()],
    ]) {
      const error = await boot(...modules).then(
        (app) => app.close(),
        (refusal: unknown) => refusal,
      );
      expect(error).toBeInstanceOf(DuplicateModuleError);
      expect((error as Error).message).toMatch(/the default DataSource.*second copy of the package/);
      await dataSource.destroy();
      dataSource = await new DataSource({ ...db.options, entities: [Order], synchronize: true }).initialize();
    }
  });

  it('and the DataSource is free for another application after the refusal, and after a close', async () => {
    await expect(boot(SparkModule.forRoot(), copy.SparkModule.forRoot())).rejects.toThrow(DuplicateModuleError);
    for (let times = 0; times < 2; times++) {
      const app = await boot(SparkModule.forRoot());
      expect(await eventsOf(app)).toBe(1);
      await app.close();
    }
  });
});
