import { type DynamicModule, Injectable, Module } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import {
  EventSource,
  GroupHandler,
  InjectSpark,
  sparkEvent,
  type SparkEvent,
  SparkModule,
  type SparkOptionsFactory,
  SparkService,
} from 'nestjs-spark';
import { Column, type DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './support/app.js';
import { inMemory } from './support/refusal.js';

@Entity()
class Item {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Entity()
class Record {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

@Injectable()
class Events {
  readonly handled: string[] = [];

  @EventSource(Item, { dataSource: 'default' }) *items({ id }: Item) {
    yield sparkEvent('item', id, { from: 'default' });
  }
  @EventSource(Item, { dataSource: 'archive' }) *archived({ id }: Item) {
    yield sparkEvent('item', id, { from: 'archive' });
  }
  @EventSource(Record) async records({ id }: Record) {
    return [sparkEvent('record', id, { from: 'archive' })];
  }

  @GroupHandler(/./, { name: 'all' }) all({ key, context }: SparkEvent<{ from: string }>) {
    this.handled.push(`all ${context.from} ${key}`);
  }
  @GroupHandler(/./, { name: 'archivist', dataSource: 'archive' }) archivist({ key }: SparkEvent) {
    this.handled.push(`archivist ${key}`);
  }
}

@Injectable()
class Services {
  constructor(
    readonly byClass: SparkService,
    @InjectSpark() readonly unnamed: SparkService,
    @InjectSpark('archive') readonly archive: SparkService,
  ) {}
}

const archive = () =>
  TypeOrmModule.forRoot({ ...inMemory().options, name: 'archive', entities: [Item, Record], synchronize: true });

async function keysIn(dataSource: DataSource): Promise<string[]> {
  const rows: { event_key: string }[] = await dataSource.query('SELECT event_key FROM spark_event ORDER BY event_key');
  return rows.map(({ event_key: key }) => key);
}

const apps: TestApp[] = [];

async function start(options: Partial<TestAppOptions>): Promise<TestApp> {
  const app = await startApp({ database: inMemory(), entities: [Item], ...options });
  apps.push(app);
  return app;
}

afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

describe('one SparkModule for each DataSource', () => {
  const imports = () => [archive(), SparkModule.forRoot({ dataSource: 'archive' })];

  it('keeps the events of two DataSources apart', async () => {
    const { app, dataSource } = await start({ providers: [Events, Services], imports: imports() });
    const other = app.get<DataSource>(getDataSourceToken('archive'));
    const { byClass: spark, archive: otherSpark } = app.get(Services);
    const received: string[] = [];
    spark.events$.subscribe(({ key }) => received.push(`default ${key}`));
    otherSpark.events$.subscribe(({ key }) => received.push(`archive ${key}`));

    await dataSource.manager.save(Item, { title: 'x' });
    await other.manager.save([
      other.manager.create(Item, { title: 'x' }),
      other.manager.create(Record, { title: 'x' }),
    ]);
    await other.query(`INSERT INTO record (title) VALUES ('raw')`);
    await Promise.all([spark.sweep(), otherSpark.sweep()]);
    await spark.drain();
    await otherSpark.drain();

    expect(received.sort()).toEqual(['archive item_1', 'archive record_1', 'archive record_2', 'default item_1']);
    expect(app.get(Events).handled.sort()).toEqual([
      'all archive item_1',
      'all archive record_1',
      'all archive record_2',
      'all default item_1',
      'archivist item_1',
      'archivist record_1',
      'archivist record_2',
    ]);
    expect(await keysIn(dataSource)).toEqual(['item_1']);
    expect(await keysIn(other)).toEqual(['item_1', 'record_1', 'record_2']);
  });

  it.each<[string, () => Pick<TestAppOptions, 'spark' | 'imports'>]>([
    ['first', () => ({ imports: imports() })],
    [
      'last',
      () => ({ spark: SparkModule.forRoot({ dataSource: 'archive' }), imports: [archive(), SparkModule.forRoot()] }),
    ],
  ])('injects each by its name, the unnamed one by its class, when that is imported %s', async (_, options) => {
    const { app } = await start({ providers: [Services], ...options() });
    const { byClass, unnamed, archive: named } = app.get(Services);

    await byClass.emit(sparkEvent('by_class', 1));
    await unnamed.emit(sparkEvent('unnamed', 1));
    await named.emit(sparkEvent('named', 1));

    expect(await keysIn(app.get(getDataSourceToken()))).toEqual(['by_class_1', 'unnamed_1']);
    expect(await keysIn(app.get(getDataSourceToken('archive')))).toEqual(['named_1']);
  });
});

describe('SparkModule takes its options', () => {
  @Injectable()
  class ItemEvents {
    @EventSource(Item) *items({ id }: Item) {
      yield sparkEvent('item', id);
    }
  }
  @Injectable()
  class Options implements SparkOptionsFactory {
    createSparkOptions() {
      return { live: false };
    }
  }
  @Module({ providers: [Options, { provide: 'live', useValue: false }], exports: [Options, 'live'] })
  class Config {}

  const beside = { tablePrefix: 'my_', imports: [Config] };

  it.each<[string, DynamicModule]>([
    ['at once', SparkModule.forRoot({ tablePrefix: 'my_', live: false })],
    [
      'from useFactory',
      SparkModule.forRootAsync({ ...beside, inject: ['live'], useFactory: async (live: boolean) => ({ live }) }),
    ],
    ['from useClass', SparkModule.forRootAsync({ ...beside, useClass: Options })],
    ['from useExisting', SparkModule.forRootAsync({ ...beside, useExisting: Options })],
  ])('%s', async (_, spark) => {
    const app = await start({ spark, providers: [ItemEvents] });
    await app.dataSource.manager.save(Item, { title: 'x' });
    expect(await app.dataSource.query('SELECT event_key FROM my_event')).toEqual([]);
    await app.spark.sweep();
    expect(await app.dataSource.query('SELECT event_key FROM my_event')).toEqual([{ event_key: 'item_1' }]);
  });

  it('and can be injected everywhere, unless isGlobal is false', async () => {
    @Injectable()
    class Service {
      constructor(readonly spark: SparkService) {}
    }
    @Module({ providers: [Service] })
    class Feature {}
    const imports = [{ module: Feature }];

    const app = await start({ imports });
    expect(app.app.get(Service).spark).toBe(app.spark);
    await expect(start({ imports, spark: { isGlobal: false } })).rejects.toThrow(/SparkService/);
    const factory = SparkModule.forRootAsync({ isGlobal: false, useFactory: () => ({}) });
    await expect(start({ imports, spark: factory })).rejects.toThrow(/SparkService/);
  });
});
