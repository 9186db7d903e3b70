import { TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { type CommandLine, commandLine, moduleText, type ModuleKind, optionsText } from './support/command-line.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity({ name: 'order' })
class Order {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

let cli: CommandLine;
beforeAll(async () => {
  cli = await commandLine();
});
afterAll(() => cli.remove());

const IMPORTS = {
  'node:module': ['createRequire'],
  '@nestjs/common': ['Module'],
  '@nestjs/schedule': ['Interval', 'ScheduleModule', 'Timeout'],
  '@nestjs/typeorm': ['TypeOrmModule'],
  'nestjs-spark': ['EventSource', 'GroupHandler', 'sparkEvent', 'SparkModule', 'SparkService'],
  typeorm: ['EntitySchema'],
};

/** An application with jobs, which print when they run. It is JavaScript, so its decorators are called. */
const body = (database: TestDatabase) => `
class Order {}
const OrderSchema = new EntitySchema({
  name: 'Order', target: Order, tableName: 'order',
  columns: { id: { type: 'int', primary: true }, state: { type: 'varchar' } },
});
const decorate = (type, method, decorator) =>
  decorator(type.prototype, method, Object.getOwnPropertyDescriptor(type.prototype, method));
class Shop {
  constructor(spark) { this.spark = spark; }
  *orders({ id }) { yield sparkEvent('order_placed', id); }
  mail() { console.log('RAN handler'); }
  often() { console.log('RAN interval'); }
  once() { console.log('RAN timeout'); }
  onApplicationBootstrap() { console.log('BOOTED'); return this.spark.start(); }
}
decorate(Shop, 'orders', EventSource(Order, { name: 'orders' }));
decorate(Shop, 'mail', GroupHandler(/^order/, { name: 'new-mails' }));
decorate(Shop, 'often', Interval(20));
decorate(Shop, 'once', Timeout(1));
class AppModule {}
Module({
  imports: [
    TypeOrmModule.forRoot({ ${optionsText(database)}, entities: [OrderSchema] }),
    ScheduleModule.forRoot(),
    SparkModule.forRoot({ sweep: { interval: 1_000 } }),
  ],
  providers: [{ provide: Shop, useFactory: (spark) => new Shop(spark), inject: [SparkService] }],
})(AppModule);
`;

describe.each(databases)(
  'the command line boots an application at rest, on $name',
  { timeout: 120_000 },
  (database) => {
    let db: TestDatabase;
    let app: TestApp;

    beforeEach(async () => {
      db = await database.create();
      const spark = { live: false };
      app = await startApp({ database: db, entities: [Order], spark, clock: new TestClock(new Date()) });
      await app.dataSource.manager.save(Order, { id: 1, state: 'paid' });
    });
    afterEach(async () => {
      await app.close();
      await db.drop();
    });

    it.each<ModuleKind>(['esm', 'cjs'])(
      'with its jobs, handlers and sweeps off, and changes no row: %s',
      async (kind) => {
        const file = cli.write(
          `app.${kind === 'esm' ? 'mjs' : 'cjs'}`,
          moduleText(kind, IMPORTS, body(db), ['AppModule']),
        );
        const rows = () => Promise.all([app.spark.status(), app.spark.events(), app.spark.sources()]);
        const before = await rows();
        const { code, stdout, stderr, json } = await cli.run(['status', '--json', '-m', `${file}#AppModule`]);
        expect({ code, lines: stdout.trim().split('\n').length }).toEqual({ code: 0, lines: 1 });
        expect(json[0].sources).toMatchObject([{ source: 'orders', entity: 'Order', adopted: false }]);
        expect(stderr).toBe('BOOTED\n');
        const [{ counts: _, ...status }, ...rest] = await rows();
        const [{ counts: __, ...former }, ...others] = before;
        expect([status, ...rest]).toEqual([former, ...others]);
      },
    );

    it('without an export of that name, or without Spark: says so, and ends with 2', async () => {
      cli.write('app.mjs', moduleText('esm', IMPORTS, body(db), ['AppModule']));
      cli.write('plain.mjs', `export class PlainModule {}`);
      const [unnamed, plain, several] = await Promise.all([
        cli.run(['status', '-m', 'app.mjs#Other']),
        cli.run(['status', '-m', 'plain.mjs#PlainModule']),
        cli.run(['status', '-m', 'app.mjs', '--name', 'archive']),
      ]);
      for (const { code, stdout } of [unnamed, plain, several])
        expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(unnamed.stderr).toMatch(/app\.mjs exports no module named Other\. It exports AppModule\./);
      expect(plain.stderr).toMatch(/does not import SparkModule/);
      expect(several.stderr).toMatch(/no SparkModule of the DataSource archive\. It has: default\./);
    });
  },
);
