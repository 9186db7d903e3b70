import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { type CommandLine, commandLine, dataSourceText } from './support/command-line.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

@Injectable()
class Shop {
  @EventSource(Order, { name: 'orders' }) *orders({ id }: Order) {
    yield sparkEvent('order_placed', id);
  }
  @GroupHandler(/^order/, { name: 'mails', maxAttempts: 1 }) mail({ key }: SparkEvent) {
    throw new Error(`No answer for ${key}`);
  }
}

let cli: CommandLine;
beforeAll(async () => {
  cli = await commandLine();
});
afterAll(() => cli.remove());

describe.each(databases)('the command line changes deliveries, on $name', { timeout: 120_000 }, (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let file: string;

  beforeEach(async () => {
    db = await database.create();
    const clock = new TestClock(new Date());
    app = await startApp({ database: db, entities: [Order], providers: [Shop], clock });
    await app.dataSource.manager.save(
      Order,
      [1, 2, 3].map((id) => ({ id, state: 'paid' })),
    );
    file = cli.write(`${database.name}.mjs`, dataSourceText('esm', db, ['Order']));
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const spark = (...args: string[]) => cli.run([...args, '-d', file]);
  const states = async () => (await app.spark.deliveries()).records.map(({ state }) => state);
  const ALL = ['discarded', 'discarded', 'discarded'];

  it('nothing without --yes where nobody can be asked, and nothing with --dry-run', async () => {
    const [unasked, unselected, counted] = await Promise.all([
      spark('deliveries', 'discard', '--handler', 'mails'),
      spark('deliveries', 'discard', '--yes'),
      spark('deliveries', 'discard', '--handler', 'mails', '--dry-run', '--yes'),
    ]);
    expect(unasked).toMatchObject({ code: 2, stdout: '' });
    expect(unasked.stderr).toMatch(/^Nothing was changed: discard needs --yes/);
    expect(unselected).toMatchObject({ code: 2, stdout: '' });
    expect(unselected.stderr).toMatch(/^Nothing was changed: say which to discard/);
    expect(counted).toMatchObject({ code: 0, stdout: '3 deliveries would be discarded.\n' });
    expect(await states()).toEqual(['available', 'available', 'available']);
  });

  it('discards, retries and releases those that ids and filters select, and says how many', async () => {
    await app.spark.drain();
    expect(await states()).toEqual(ALL);
    const { records } = await app.spark.deliveries({ key: 'order_placed_2' });
    const one = await spark('deliveries', 'retry', records[0]!.id, '--yes', '--json');
    expect(one.json).toEqual([{ act: 'retry', dryRun: false, deliveries: 1 }]);
    expect((await states()).toSorted()).toEqual(['available', 'discarded', 'discarded']);
    const [rest, none] = await Promise.all([
      spark('deliveries', 'retry', '--error', 'for order_placed_3', '--yes'),
      spark('deliveries', 'release', '--all', '--yes'),
    ]);
    expect(rest).toMatchObject({ code: 0, stdout: '1 deliveries retried.\n' });
    expect(none).toMatchObject({ code: 0, stdout: '0 deliveries released.\n' });
    expect(await spark('deliveries', 'discard', '--all', '--yes')).toMatchObject({
      code: 0,
      stdout: '2 deliveries discarded.\n',
    });
    expect(await states()).toEqual(ALL);
  });

  it('pauses a handler until it is resumed, in all processes', async () => {
    expect(await spark('handlers', 'pause', 'mails')).toMatchObject({ code: 0, stdout: 'mails is paused.\n' });
    await app.spark.drain();
    expect(await states()).toEqual(['available', 'available', 'available']);
    const { stdout } = await spark('handlers', 'list');
    expect(stdout).toMatch(/^mails +3 +0 +0 +0 +0 {2}\d{4}-/m);
    expect((await spark('handlers', 'resume', 'mails', '--json')).json).toEqual([{ handler: 'mails', paused: false }]);
    await app.spark.drain();
    expect(await states()).toEqual(ALL);
  });

  it('SIGINT ends a change between two chunks with 130; what is done stays done', async () => {
    await app.spark.emit(Array.from({ length: 6_000 }, (_, i) => sparkEvent('order_bulk', i)));
    const { process, ended } = cli.start(['deliveries', 'discard', '--group', 'order_bulk', '--yes', '-d', file]);
    const discarded = async () => (await app.spark.handlers())[0]!.discarded;
    while ((await discarded()) === 0) await delay(2);
    process.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130, stdout: '', stderr: 'Interrupted.\n' });
    const done = await discarded();
    expect(done % 1_000).toBe(0);
    await delay(200);
    expect(await discarded()).toBe(done);
  });
});
