import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import type { EntityManager } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { Crash } from './support/crash.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Injectable()
class Handlers {
  @GroupHandler(/^thing$/, { name: 'things' })
  handle() {}
}

type Work = (confirm: (manager: EntityManager) => Promise<void>) => Promise<void>;

interface Parts {
  readonly chores: { run(name: string, every: number, work: Work): Promise<boolean> };
  readonly maintenance: { run(): Promise<number>; ticker: { trigger(): void } };
}

const partsOf = ({ spark }: TestApp): Parts => (spark as unknown as { spark: Parts }).spark;

describe.each(databases)('one process of all does a chore, on $name', (database) => {
  let db: TestDatabase;
  let apps: (TestApp & { log: QueryLog })[] = [];

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    for (const { close } of apps) await close();
    apps = [];
    await db.drop();
  });

  const start = async (spark: object = {}) => {
    const log = new QueryLog();
    const worker = { pollInterval: '1h', leaseTtl: '1s', leaseRenewal: '100ms' };
    const options = { autoStart: false, worker, ...spark };
    const dataSource = { logger: log };
    const app = await startApp({ database: db, entities: [], providers: [Handlers], spark: options, dataSource });
    apps.push({ ...app, log });
    return apps.at(-1)!;
  };
  const chores = (app: TestApp) =>
    app.dataSource.query('SELECT name, done_at, holder FROM spark_chore ORDER BY name') as Promise<
      { name: string; done_at: unknown; holder: string | null }[]
    >;
  const nothing = async () => undefined;
  const never = () => new Promise<undefined>(() => undefined);

  it('in each minute: of processes that start together, one removes old rows and frees lost deliveries', async () => {
    for (let i = 0; i < 3; i++) await start({ retention: { completed: '1d' } });
    for (const { spark } of apps) await spark.start();
    const count = (what: RegExp) => apps.map(({ log }) => log.statements.filter((sql) => what.test(sql)).length);
    /** How often each has looked whether one of the three chores is due. */
    const looks = () => count(/^SELECT CASE WHEN .*spark_chore/);
    await vi.waitFor(async () => {
      expect(looks()).toEqual([3, 3, 3]);
      const rows = await chores(apps[0]!);
      expect(rows.map(({ name, done_at: at, holder }) => [name, at !== null, holder])).toEqual([
        ['limits', true, null],
        ['rescue', true, null],
        ['retention', true, null],
      ]);
    }, 10_000);
    for (const app of apps) partsOf(app).maintenance.ticker.trigger();
    await vi.waitFor(() => expect(looks()).toEqual([6, 6, 6]), 10_000);
    const total = (counts: number[]) => counts.reduce((sum, n) => sum + n, 0);
    expect(total(count(/^SELECT d\.id, d\.suspect/))).toBe(1);
    expect(count(/^SELECT MAX\(id\)/).filter((n) => n > 0)).toHaveLength(1);
  });

  it('at once when the maintenance is called', async () => {
    const app = await start({ retention: { completed: '1d' } });
    const maintain = () => partsOf(app).maintenance.run();
    await maintain();
    await app.spark.emit(sparkEvent('thing', 1));
    await app.spark.drain();
    const day = 2 * 86_400_000;
    await app.dataSource.query(`UPDATE spark_delivery SET finished_at = finished_at - ${day}`);
    await app.dataSource.query(`UPDATE spark_event SET recorded_at = recorded_at - ${day}`);
    expect(await maintain()).toBe(1);
  });

  it('a process that removes nothing leaves retention to others', async () => {
    const [without, other] = [await start(), await start({ retention: { discarded: '1d' } })];
    await partsOf(without).maintenance.run();
    expect((await chores(without)).map(({ name }) => name)).toEqual(['limits', 'rescue']);
    await partsOf(other).maintenance.run();
    expect((await chores(without)).map(({ name }) => name)).toEqual(['limits', 'rescue', 'retention']);
  });

  it('and nobody else meanwhile, however long it takes; then not again before its time', async () => {
    const [one, other] = [partsOf(await start()), partsOf(await start())];
    let end = (): void => {};
    const held = one.chores.run('long', 0, () => new Promise<void>((resolve) => (end = resolve)));
    for (let i = 0; i < 12; i++) {
      await delay(200);
      expect(await other.chores.run('long', 0, nothing)).toBe(false);
    }
    end();
    expect(await held).toBe(true);
    expect(await other.chores.run('long', 60_000, nothing)).toBe(false);
    expect(await other.chores.run('long', 0, nothing)).toBe(true);
  });

  it('a failed chore counts as not done', async () => {
    const [one, other] = [partsOf(await start()), partsOf(await start())];
    await expect(one.chores.run('fails', 60_000, () => Promise.reject(new Error('on purpose')))).rejects.toThrow(
      'on purpose',
    );
    expect(await other.chores.run('fails', 60_000, nothing)).toBe(true);
  });

  it('when the process that does it dies, another one does it after its lease', async () => {
    const dying = await start();
    const other = partsOf(await start());
    const crash = new Crash(dying.dataSource);
    void partsOf(dying).chores.run('dies', 0, never);
    await vi.waitFor(async () => expect((await chores(apps[1]!))[0]?.holder).toEqual(expect.any(String)), 10_000);
    crash.after(0);
    expect(await other.chores.run('dies', 60_000, nothing)).toBe(false);
    await vi.waitFor(async () => expect(await other.chores.run('dies', 60_000, nothing)).toBe(true), 10_000);
  });

  it('a process that stalled changes nothing when another one has done it meanwhile', async () => {
    const [stalled, other] = [await start(), await start()];
    let goOn = (): void => {};
    const stall = new Promise<void>((resolve) => (goOn = resolve));
    const write = `INSERT INTO spark_pause (handler, paused_at) VALUES ('late', 1)`;
    const work: Work = async (confirm) => {
      await stall;
      await stalled.dataSource.transaction(async (manager) => {
        await manager.query(write);
        await confirm(manager);
      });
    };
    const held = partsOf(stalled).chores.run('stalls', 0, work);
    await vi.waitFor(async () => expect((await chores(other))[0]?.holder).toEqual(expect.any(String)), 10_000);
    // As if its lease had run out.
    await vi.waitFor(async () => {
      await other.dataSource.query(`UPDATE spark_chore SET held_until = 0`);
      expect(await partsOf(other).chores.run('stalls', 0, nothing)).toBe(true);
    }, 10_000);
    goOn();
    expect(await held).toBe(false);
    expect(await other.dataSource.query('SELECT * FROM spark_pause')).toEqual([]);
  });
});
