import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable } from '@nestjs/common';
import { InjectDataSource, InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { ClsPluginTransactional, Propagation as ClsPropagation, TransactionHost } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { ClsModule, ClsService } from 'nestjs-cls';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, DataSource, Entity, PrimaryColumn, PrimaryGeneratedColumn, Repository } from 'typeorm';
import {
  addTransactionalDataSource,
  deleteDataSourceByName,
  initializeTransactionalContext,
  Propagation,
  runInTransaction,
} from 'typeorm-transactional';
import { getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
}

@Entity()
class Invoice {
  @PrimaryGeneratedColumn() id: number;
  @Column() order: number;
}

@Entity()
class Letter {
  @PrimaryGeneratedColumn() id: number;
  @Column() about: string;
}

const request = new AsyncLocalStorage<string>();
const own = new AsyncLocalStorage<string>();
/** Who saw which request. */
const seen: { who: string; tenant: string | undefined }[] = [];
const see = (who: string) => void seen.push({ who, tenant: request.getStore() });

@Injectable()
class Sources {
  @EventSource(Order, { name: 'late' })
  async late({ id }: Order) {
    see('source');
    await Promise.resolve();
    return [sparkEvent('late', id)];
  }

  @EventSource(Order, { name: 'now' })
  *now({ id }: Order) {
    yield sparkEvent('now', id);
  }

  // Its keys do not say which order they are about.
  @EventSource(Order, { name: 'batch', batch: true })
  *batch(orders: Order[]) {
    for (const { id } of orders) yield sparkEvent('batch', id, { id }, { key: `by hand ${id}` });
  }
}

/** What handlers saw of what they had entered themselves. */
const kept: (string | undefined)[] = [];

@Injectable()
class Handlers {
  constructor(
    @InjectRepository(Invoice) private readonly invoices: Repository<Invoice>,
    @InjectRepository(Order) private readonly orders: Repository<Order>,
    @InjectRepository(Letter) private readonly letters: Repository<Letter>,
    private readonly cls: ClsService,
    private readonly host: TransactionHost<TransactionalAdapterTypeOrm>,
    @InjectDataSource() private readonly dataSource: DataSource,
  ) {}

  @GroupHandler(/^now$/, { name: 'now' })
  async now({ key }: SparkEvent) {
    see('handler');
    if (this.cls.isActive() || own.getStore() !== undefined) kept.push('the context of somebody else');
    own.enterWith(key);
    await this.invoices.save({ order: 1 });
    kept.push(own.getStore() === key ? 'own' : own.getStore());
    await this.cls.run(async () => {
      this.cls.set('tenant', key);
      await this.dataSource.query('SELECT 1');
      if (this.cls.get('tenant') !== key) kept.push('not what it had set');
    });
  }

  @GroupHandler(/^late$/, { name: 'late', transactional: true })
  async late(_event: SparkEvent) {
    see('transactional handler');
    await this.invoices.count();
  }

  // Each order has one child.
  @GroupHandler(/^batch$/, { name: 'children' })
  async children({ context: { id } }: SparkEvent<{ id: number }>) {
    if (id < 1_000) await this.orders.save({ id: id + 1_000 });
  }

  @GroupHandler(/^mail$/, { name: 'mails' })
  async mail({ key }: SparkEvent) {
    await this.letters.save({ about: key });
    await this.host.tx.getRepository(Letter).save({ about: `${key}, by its host` });
  }
}

describe.each(databases)('what Spark runs by itself sees no request, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    initializeTransactionalContext();
    db = await database.create();
    app = await startApp({
      database: db,
      entities: [Order, Invoice, Letter],
      imports: [
        TypeOrmModule.forFeature([Order, Invoice, Letter]),
        ClsModule.forRoot({
          global: true,
          plugins: [
            new ClsPluginTransactional({
              imports: [TypeOrmModule.forFeature([])],
              adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }),
            }),
          ],
        }),
      ],
      providers: [Sources, Handlers],
    });
    addTransactionalDataSource(app.dataSource);
  });
  afterAll(async () => {
    deleteDataSourceByName('default');
    await app.close();
    await db.drop();
  });
  beforeEach(async () => {
    seen.length = kept.length = 0;
    await app.spark.drain();
  });

  /** As nobody's transaction sees it. */
  const query = async (sql: string): Promise<unknown[]> => {
    const runner = app.dataSource.createQueryRunner();
    const rows = (await runner.query(sql)) as unknown[];
    await runner.release();
    return rows;
  };
  const isHandled = async (about: string) =>
    vi.waitFor(
      async () => {
        const rows = await query(`SELECT d.state FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id
            WHERE e.event_key = '${about}' AND d.state = 'completed'`);
        expect(rows).toHaveLength(1);
      },
      { timeout: 20_000 },
    );
  const lettersAbout = (key: string) =>
    app.dataSource.manager
      .find(Letter, { order: { id: 'ASC' } })
      .then((letters) => letters.map(({ about }) => about).filter((about) => about.startsWith(key)));

  it('neither a source nor a handler that a request triggers sees its tenant', async () => {
    const tenants: (string | undefined)[] = [];
    const subscription = app.spark.events$.subscribe(() => tenants.push(request.getStore()));
    const cls = app.app.get(ClsService);
    for (const id of [1, 2, 3])
      await request.run('a tenant', () =>
        cls.run(async () => {
          cls.set('tenant', 'a tenant');
          await app.dataSource.manager.save(Order, { id });
        }),
      );
    for (const id of [1, 2, 3, 1_001, 1_002, 1_003])
      for (const key of [`now_${id}`, `late_${id}`]) await isHandled(key);
    subscription.unsubscribe();
    expect(new Set(seen.map(({ who }) => who))).toEqual(new Set(['source', 'handler', 'transactional handler']));
    expect(seen.filter(({ tenant }) => tenant !== undefined)).toEqual([]);
    expect(kept).toEqual(Array(6).fill('own'));
    expect(new Set(tenants)).toEqual(new Set([undefined]));
  });

  it('nor do they when the request sweeps and drains by hand', async () => {
    await app.dataSource.query(`INSERT INTO ${database.name === 'MariaDB' ? '`order`' : '"order"'} (id) VALUES (11)`);
    await request.run('a tenant', async () => {
      await app.spark.sweep();
      await app.spark.drain();
      expect(request.getStore()).toBe('a tenant');
    });
    expect(seen.map(({ who }) => who)).toContain('handler');
    expect(seen.filter(({ tenant }) => tenant !== undefined)).toEqual([]);
  });

  it('what handlers do under load is one event further than what they handle, and nothing else is', async () => {
    const ids = Array.from({ length: 150 }, (_, i) => 100 + i);
    await Promise.all(ids.map((id) => request.run(String(id), () => app.dataSource.manager.save(Order, { id }))));
    for (const id of ids) await isHandled(`late_${id + 1_000}`);
    await app.spark.drain();
    const depths: { depth: number }[] = await app.dataSource.query('SELECT DISTINCT depth FROM spark_event');
    expect(depths.map(({ depth }) => Number(depth)).sort()).toEqual([0, 1]);
    expect(app.logs.filter((line) => line.includes('a chain of'))).toEqual([]);
  }, 60_000);

  // SQLite has one connection: while a transaction is open, nobody else works.
  describe.runIf(database.name !== 'SQLite')('what a handler writes stays when a transaction of the request', () => {
    const emit = (key: string) => app.spark.emit(sparkEvent('mail', key, undefined, { key }));

    it('by typeorm-transactional is rolled back', async () => {
      const outer = runInTransaction(async () => {
        await app.dataSource.manager.save(Invoice, { order: 2 });
        await emit('in a transaction');
        await isHandled('in a transaction');
        throw new Error('rolled back');
      });
      await expect(outer).rejects.toThrow('rolled back');
      expect(await lettersAbout('in a transaction')).toHaveLength(2);
    });

    it('by typeorm-transactional is rolled back, and one of its own within it was committed', async () => {
      const outer = runInTransaction(async () => {
        await app.dataSource.manager.save(Invoice, { order: 2 });
        await runInTransaction(
          async () => {
            await app.dataSource.manager.save(Order, { id: 21 });
            await emit('in a transaction of its own');
          },
          { propagation: Propagation.REQUIRES_NEW },
        );
        await app.spark.drain();
        throw new Error('rolled back');
      });
      await expect(outer).rejects.toThrow('rolled back');
      await isHandled('now_21');
      expect(await lettersAbout('in a transaction of its own')).toHaveLength(2);
      expect(await app.dataSource.manager.countBy(Order, { id: 21 })).toBe(1);
    });

    it('by @nestjs-cls/transactional is rolled back', async () => {
      const host = app.app.get<TransactionHost<TransactionalAdapterTypeOrm>>(TransactionHost);
      const outer = host.withTransaction(async () => {
        await host.tx.save(Invoice, { order: 3 });
        await host.withTransaction(ClsPropagation.RequiresNew, () => emit('by a host'));
        await isHandled('by a host');
        await emit('by a host, once more');
        await app.spark.drain();
        throw new Error('rolled back');
      });
      await expect(outer).rejects.toThrow('rolled back');
      expect(await lettersAbout('by a host')).toHaveLength(4);
    });
  });
});
