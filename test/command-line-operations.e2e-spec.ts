import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { type CommandLine, commandLine, dataSourceText, moduleText, optionsText } from './support/command-line.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

// It clears the screen, sets the title of the window, hides text, and turns it around.
const HOSTILE = '\x1b[2J\x1b]0;owned\x07\u009b31m\u202eevil\r\nnext';
// eslint-disable-next-line no-control-regex -- what a terminal acts on
const RAW = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;

@Injectable()
class Shop {
  @EventSource(Order, { name: HOSTILE }) *orders({ id }: Order) {
    yield sparkEvent('order_placed', id, { much: 'text' });
  }
  @GroupHandler(/^order/, { name: 'mails' }) mail() {}
}

let cli: CommandLine;
beforeAll(async () => {
  cli = await commandLine();
});
afterAll(() => cli.remove());

const YEAR = 365 * 86_400_000;

describe.each(databases)('the command line operates Spark, on $name', { timeout: 120_000 }, ({ name, create }) => {
  let db: TestDatabase;
  let app: TestApp;
  let file: string;

  beforeAll(async () => {
    db = await create();
    app = await startApp({ database: db, entities: [Order], providers: [Shop], clock: new TestClock(new Date()) });
    await app.dataSource.manager.save(
      Order,
      [1, 2].map((id) => ({ id, state: 'paid' })),
    );
    await app.spark.sweep();
    await app.spark.drain();
    file = cli.write(`${name}.mjs`, dataSourceText('esm', db, ['Order']));
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const spark = (...args: string[]) => cli.run([...args, '-d', file]);
  const query = (sql: string, given?: unknown[]) => app.dataSource.query(sql, given) as Promise<any[]>;

  it('prune removes what its dry run counts', async () => {
    for (const [table, column] of [
      ['delivery', 'finished_at'],
      ['event', 'recorded_at'],
    ] as const)
      await query(`UPDATE spark_${table} SET ${column} = ${column} - ${YEAR}`);
    const counted = await spark('prune', '--older-than', '90d', '--dry-run', '--json');
    const counts = { act: 'prune', deliveries: 2, contexts: 2, keys: 0 };
    expect(counted).toMatchObject({ code: 0, stderr: '', json: [{ ...counts, dryRun: true }] });
    expect(await query('SELECT id FROM spark_delivery')).toHaveLength(2);
    const removed = await spark('prune', '--older-than', '90d', '--yes', '--json');
    expect(removed).toMatchObject({ code: 0, json: [{ ...counts, dryRun: false }] });
    expect(await query('SELECT id FROM spark_delivery')).toEqual([]);
    await query(`UPDATE spark_event SET recorded_at = recorded_at + ${YEAR}`);
  });

  it('doctor ends with 1 where something is off, and prints a finding a line', async () => {
    const [placed] = await app.spark.emit(sparkEvent('order_placed', 'orphan'));
    expect(placed).toBeDefined();
    const place = name === 'PostgreSQL' ? '$1' : '?';
    await query(`UPDATE spark_delivery SET handler = ${place} WHERE state = 'available'`, [HOSTILE]);
    const { code, json, stderr, stdout } = await spark('doctor', '--json');
    expect({ code, stderr }).toEqual({ code: 1, stderr: LEFT_OUT });
    expect(stdout.trim().split('\n')).toHaveLength(json.length);
    expect(json.find(({ check }) => check === 'tables')).toEqual({
      check: 'tables',
      status: 'ok',
      found: expect.stringMatching(/^Spark's tables have version \d+, which this release needs\.$/),
      advice: null,
    });
    // Some servers for tests have autovacuum off. `drain` has taken a lease, which may be over.
    const off = json
      .filter(({ check, status }) => status !== 'ok' && !['autovacuum', 'processes'].includes(check))
      .map(({ check, status }) => `${check} ${status}`);
    expect(off).toEqual(['orphans error']);
    const orphans = json.find(({ check }) => check === 'orphans');
    expect(orphans.found).toContain(`1 delivery of ${HOSTILE} waits since`);
    // What the name says to a shell stays inside of the quotes.
    expect(orphans.advice).toContain(`--handler '${HOSTILE}'`);
    expect(stdout).not.toMatch(RAW);
  });
});

const LEFT_OUT = '\nLeft out: pool, shutdown. --module checks the application, too.\n';

describe('the command line operates Spark', { timeout: 120_000 }, () => {
  let db: TestDatabase;
  let app: TestApp;
  let file: string;

  beforeAll(async () => {
    db = await databases[0]!.create();
    app = await startApp({ database: db, entities: [Order], providers: [Shop], clock: new TestClock(new Date()) });
    await app.spark.sweep();
    file = cli.write('data-source.mjs', dataSourceText('esm', db, ['Order']));
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const spark = (...args: string[]) => cli.run([...args, '-d', file]);
  const query = (sql: string) => app.dataSource.query(sql) as Promise<any[]>;

  it('doctor for people: a table, and below it what to do; nothing in it acts on the terminal', async () => {
    await app.spark.pauseSweep(HOSTILE);
    const { code, stdout, stderr } = await spark('doctor');
    await app.spark.resumeSweep(HOSTILE);
    expect({ code, stderr }).toEqual({ code: 0, stderr: LEFT_OUT });
    expect(stdout).toMatch(/^CHECK +STATUS +FOUND\ntables +ok +Spark's tables have version /);
    expect(stdout).toMatch(/^pauses +warning +Sweeps of the source \\x1b\[2J.* are paused since /m);
    expect(stdout).toMatch(/\n\nWhat to do\nCHECK +ADVICE\n/);
    expect(stdout).not.toMatch(RAW);
  });

  it('sources list and workers list: what the tables know, and nothing to list', async () => {
    const [sources, people, none] = await Promise.all([
      spark('sources', 'list', '--json'),
      spark('sources', 'list'),
      spark('workers', 'list'),
    ]);
    expect(sources.json).toMatchObject([{ source: HOSTILE, entity: null, missed: 0, paused: null }]);
    expect(people.stdout).toMatch(/^SOURCE +LAST SWEEP +FOUND +MISSED +NOW\n\\x1b\[2J/);
    for (const { stdout } of [sources, people]) expect(stdout).not.toMatch(RAW);
    expect(none).toMatchObject({ code: 0, stdout: '', stderr: 'No process handles deliveries.\n' });
    const until = Date.now() + YEAR;
    await query(
      `INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES ('w', ${until}, 'host-7', 42, 1000)`,
    );
    expect((await spark('workers', 'list', '--json')).json).toEqual([
      {
        id: 'w',
        host: 'host-7',
        pid: 42,
        started: '1970-01-01T00:00:01.000Z',
        leaseUntil: new Date(until).toISOString(),
        running: 0,
        oldest: null,
      },
    ]);
    await query('DELETE FROM spark_worker');
  });

  it('completion prints a script that bash runs', async () => {
    const { code, stdout, stderr } = await cli.run(['completion', 'bash']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const call = `${stdout}\nCOMP_WORDS=(spark deliveries dis); COMP_CWORD=2; _spark; echo "\${COMPREPLY[@]}"`;
    expect(spawnSync('bash', ['--norc', '-c', call], { encoding: 'utf8' })).toMatchObject({
      stdout: 'discard\n',
      stderr: '',
    });
  });

  it('a wrong call: says what is wrong, changes nothing, and ends with 2; without tables, the doctor ends with 1', async () => {
    const fresh = await databases[0]!.createEmpty();
    const empty = cli.write('empty.mjs', dataSourceText('esm', fresh));
    const dead = `import { DataSource } from 'typeorm'; export default new DataSource({ type: 'postgres', url: 'postgres://a@127.0.0.1:1/x' });`;
    cli.write('dead.mjs', dead);
    const wrong: [args: string[], code: number, said: RegExp][] = [
      [['doctor'], 2, /^Say where Spark's tables are: --data-source/],
      [['doctor', '-d', 'nowhere.js'], 2, /^There is no data source file .*nowhere\.js/],
      [['doctor', '-d', file, '--schema', 'x'], 2, /left out on SQLite/],
      [['doctor', '-d', 'dead.mjs'], 1, /^The database of .*dead\.mjs cannot be used: .*ECONNREFUSED/],
      [['prune', '-d', file, '--yes'], 2, /^Nothing was changed: say how old, as in --older-than 90d\./],
      [['prune', '-d', file, '--older-than', '1d'], 2, /^Nothing was changed: prune needs --yes/],
      [['prune', '-d', file, '--older-than', '90', '--yes'], 2, /a duration with its unit/],
      [['prune', '-d', empty, '--older-than', '1d', '--yes'], 1, /are missing\. .* Or run: spark migrate up\n$/],
      [['completion', HOSTILE], 2, /Allowed choices are bash, zsh/],
    ];
    await app.spark.emit(sparkEvent('order_placed', 'kept'));
    await query(`UPDATE spark_delivery SET state = 'completed', finished_at = 1`);
    await query('UPDATE spark_event SET recorded_at = 1');
    const [ends, lost] = await Promise.all([
      Promise.all(wrong.map(([args]) => cli.run(args))),
      cli.run(['doctor', '--json', '-d', empty]),
    ]);
    for (const [i, { code, stdout, stderr }] of ends.entries()) {
      const [args, expected, said] = wrong[i]!;
      expect({ args, code, stdout }).toEqual({ args, code: expected, stdout: '' });
      expect(stderr).toMatch(said);
      expect(stderr).not.toMatch(RAW);
    }
    expect(await query('SELECT state FROM spark_delivery')).toMatchObject([{ state: 'completed' }]);
    expect(lost).toMatchObject({ code: 1, stderr: expect.stringMatching(/^\nLeft out: clocks, processes, /) });
    expect(lost.json[0]).toMatchObject({ check: 'tables', status: 'error', advice: 'Run: spark migrate up' });
    await fresh.drop();
  });

  it('SIGINT ends prune between two batches with 130, and another prune goes on', async () => {
    await app.spark.emit(Array.from({ length: 6_000 }, (_, i) => sparkEvent('order_bulk', i)));
    await query(`UPDATE spark_delivery SET state = 'completed', finished_at = 1`);
    await query('UPDATE spark_event SET recorded_at = 1');
    const left = async () => Number((await query('SELECT COUNT(*) AS n FROM spark_delivery'))[0].n);
    const all = await left();
    const { process, ended } = cli.start(['prune', '--older-than', '1d', '--yes', '-d', file]);
    while ((await left()) === all) await delay(2);
    process.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130, stdout: '', stderr: 'Interrupted.\n' });
    const kept = await left();
    expect(kept).toBeGreaterThan(0);
    expect((all - kept) % 1_000).toBe(0);
    const { code, json } = await spark('prune', '--older-than', '1d', '--yes', '--json');
    expect({ code, deliveries: json[0].deliveries }).toEqual({ code: 0, deliveries: kept });
    expect(await spark('prune', '--older-than', '1d', '--yes')).toMatchObject({
      code: 0,
      stdout: '0 deliveries, 0 contexts and 0 keys removed.\n',
    });
  });
});

const IMPORTS = {
  'node:module': ['createRequire'],
  '@nestjs/common': ['Module'],
  '@nestjs/typeorm': ['TypeOrmModule'],
  'nestjs-spark': ['GroupHandler', 'SparkModule'],
};

/** An application whose handlers may hold all connections. It is JavaScript, so its decorators are called. */
const body = (database: TestDatabase) => `
class Mails { mail() {} }
GroupHandler(/^order/, { name: 'mails' })(Mails.prototype, 'mail', Object.getOwnPropertyDescriptor(Mails.prototype, 'mail'));
class AppModule {}
Module({
  imports: [
    TypeOrmModule.forRoot({ ${optionsText(database)} }),
    SparkModule.forRoot({ worker: { concurrency: 20 }, retention: { completed: '30d', keys: { order_placed: '1d' } } }),
  ],
  providers: [Mails],
})(AppModule);
`;

const postgres = databases.filter(({ name }) => name === 'PostgreSQL');
describe.each(postgres)('the command line examines an application, on $name', { timeout: 120_000 }, ({ create }) => {
  it('doctor also looks at its pool and its shutdown, and prune goes by its retention', async () => {
    const db = await create();
    const app = await startApp({ database: db, entities: [], clock: new TestClock(new Date()) });
    await app.spark.emit(sparkEvent('order_placed', 1, { much: 'text' }));
    await app.dataSource.query('UPDATE spark_event SET recorded_at = 1');
    const module = cli.write('app/app.mjs', moduleText('esm', IMPORTS, body(db), ['AppModule']));
    const [doctor, prune] = await Promise.all([
      cli.run(['doctor', '--json', '-m', module]),
      cli.run(['prune', '--dry-run', '--json', '-m', module]),
    ]);
    expect({ code: doctor.code, stderr: doctor.stderr }).toEqual({ code: 1, stderr: '' });
    const found = new Map(doctor.json.map(({ check, status, found: text }) => [check, `${status} ${text}`]));
    expect(found.get('pool')).toMatch(
      /^error The pool has 20 connections, and up to 20 deliveries are handled at once/,
    );
    expect(found.get('shutdown')).toMatch(/^warning No file in .*app calls enableShutdownHooks\(\)\./);
    expect(found.get('handlers')).toMatch(/^ok /);
    expect(prune.json).toEqual([{ act: 'prune', dryRun: true, deliveries: 0, contexts: 1, keys: 1 }]);
    await app.close();
    await db.drop();
  });
});
