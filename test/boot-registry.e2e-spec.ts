import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { getSparkToken, SparkModule, SparkRegistry, SparkService, UnknownDataSourceError } from 'nestjs-spark';
import { afterEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './support/app.js';
import { inMemory } from './support/refusal.js';

const apps: TestApp[] = [];

async function start(options: Partial<TestAppOptions> = {}): Promise<TestApp> {
  const app = await startApp({ database: inMemory(), entities: [], ...options });
  apps.push(app);
  return app;
}

afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

const source = (name: string) => TypeOrmModule.forRoot({ ...inMemory().options, name, synchronize: true });
const namesIn = (registry: SparkRegistry) => registry.all().map(({ dataSource }) => dataSource);

/** Sees the registry from a module that imports nothing, as early as it may. */
@Injectable()
class Dashboard implements OnModuleInit {
  names: string[] = [];

  constructor(readonly registry: SparkRegistry) {}

  onModuleInit() {
    this.names = namesIn(this.registry);
  }
}
@Module({ providers: [Dashboard] })
class DashboardModule {}
const imports = () => [{ module: DashboardModule }];

describe('SparkRegistry gives the services of an application', () => {
  it('where there is one module', async () => {
    const { app } = await start({ imports: imports() });
    const registry = app.get(SparkRegistry);
    expect(registry.all()).toEqual([{ dataSource: 'default', service: app.get(SparkService) }]);
    expect(registry.all()[0]!.service).toBe(app.get(SparkService));
    expect(registry.get()).toBe(app.get(SparkService));
    expect(app.get(Dashboard)).toMatchObject({ registry, names: ['default'] });
  });

  it('where there are several, the unnamed one first, however they are made', async () => {
    const { app } = await start({
      spark: SparkModule.forRoot({ dataSource: 'orders' }),
      imports: [
        ...imports(),
        source('orders'),
        source('archive'),
        SparkModule.forRootAsync({ dataSource: 'archive', isGlobal: false, useFactory: async () => ({ live: false }) }),
        SparkModule.forRoot(),
      ],
    });
    const registry = app.get(SparkRegistry);
    expect(app.get(Dashboard).names).toEqual(['default', 'archive', 'orders']);
    for (const { dataSource, service } of registry.all()) {
      expect(service).toBe(app.get(getSparkToken(dataSource)));
      expect(service).toBe(registry.get(dataSource));
    }
    expect(() => registry.get('ordres')).toThrow(UnknownDataSourceError);
    expect(() => registry.get('ordres')).toThrow('SparkRegistry.get names the DataSource "ordres"');
  });

  it('where its module is not global', async () => {
    const { app } = await start({ imports: imports(), spark: { isGlobal: false } });
    expect(app.get(Dashboard).names).toEqual(['default']);
  });

  it('and those of no other application in the process', async () => {
    const [one, other] = [await start(), await start()];
    expect(namesIn(one.app.get(SparkRegistry))).toEqual(['default']);
    expect(one.app.get(SparkRegistry).get()).toBe(one.spark);
    expect(other.app.get(SparkRegistry).get()).toBe(other.spark);
    expect(one.spark).not.toBe(other.spark);
  });
});
