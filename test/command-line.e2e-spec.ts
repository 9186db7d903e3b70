import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { readFile } from 'node:fs/promises';
import { Column, DataSource, type DataSourceOptions, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { blocksOf } from '../tools/docs/blocks.mjs';
import { startApp, type TestApp } from './support/app.js';
import {
  applicationText,
  type CommandLine,
  commandLine,
  dataSourceText,
  HOSTILE,
  RAW,
} from './support/command-line.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

@Entity()
class Seat {
  @PrimaryColumn() row: string;
  @PrimaryColumn() number: number;
}

@Entity()
class Challenge {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

const CHALLENGES = {
  entity: 'Challenge',
  members: `*challenges({ id, state }) { yield sparkEvent('challenge_' + state, id); }\n  mail() {}`,
  decorators: {
    challenges: `EventSource(Challenge, { name: 'challenges' })`,
    mail: `GroupHandler(/^challenge/, { name: 'challenge-mails' })`,
  },
};

@Injectable()
class Shop {
  @EventSource(Order, { name: 'orders' }) *orders({ id, state }: Order) {
    yield sparkEvent('order_placed', id, { state });
    yield sparkEvent('order_due', id, undefined, { at: new Date(Date.now() + 86_400_000 * id) });
  }
  @EventSource(Seat, { name: 'seats' }) *seats({ row, number }: Seat) {
    yield sparkEvent('seat', [row, number]);
  }
  @GroupHandler(/^order/, { name: 'mails', maxAttempts: 1 }) mail({ key }: SparkEvent) {
    if (key === 'order_placed_2') throw new Error(`No answer: ${HOSTILE}`);
  }
  @GroupHandler(/^order/, { name: 'statistics' }) count() {}
}

let cli: CommandLine;
beforeAll(async () => {
  cli = await commandLine();
});
afterAll(() => cli.remove());

describe.each(databases)('the command line reads the tables, on $name', { timeout: 120_000 }, (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let file: string;

  beforeAll(async () => {
    db = await database.create();
    const clock = new TestClock(new Date());
    app = await startApp({ database: db, entities: [Order, Seat], providers: [Shop], clock });
    for (const id of [1, 2, 3]) await app.dataSource.manager.save(Order, { id, state: 'paid' });
    await app.dataSource.manager.save(Seat, { row: 'A', number: 1 });
    await app.spark.emit(sparkEvent(HOSTILE, 'x'));
    await app.spark.drain();
    file = cli.write(`${database.name}.mjs`, dataSourceText('esm', db, ['Order']));
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const spark = (...args: string[]) => cli.run([...args, '-d', file]);

  it('status: in tables for people, and as one object for machines', async () => {
    const [people, machines] = await Promise.all([spark('status'), spark('status', '--json')]);
    expect(people.code).toBe(0);
    expect(people.stdout).toMatch(/^discarded {7}1\nrechecks due {4}0$/m);
    expect(people.stdout).toMatch(/^HANDLER {5}AVAILABLE {2}WAITING {2}RUNNING {2}HELD {2}DISCARDED {2}PAUSED SINCE$/m);
    expect(people.stdout).toMatch(/^mails {15}0 {8}0 {8}0 {5}0 {10}1$/m);
    expect(machines.json).toMatchObject([{ held: [], rechecks: { due: 0, oldest: null, others: 0 } }]);
    expect(machines.json[0].handlers).toMatchObject([{ handler: 'mails', discarded: 1, paused: null }, {}]);
  });

  it('events list and show: by a filter, with a limit and the place of the rest, and each with its deliveries', async () => {
    const [list, filtered, shown] = await Promise.all([
      spark('events', 'list', '--group', 'order_placed', '--limit', '2'),
      spark('events', 'list', '--json', '--entity', 'Order', '--id', '2', '--from', '-1h', '--to', '+1h'),
      spark('events', 'show', 'order_placed_2'),
    ]);
    expect(list.stdout).toMatch(
      /^RECORDED +KEY +GROUP +ENTITY +ID +SOURCE\n\S+Z +order_placed_3 +order_placed +Order +3 +orders\n/,
    );
    expect(filtered.json).toMatchObject([{ key: 'order_placed_2', entity: 'Order', entityId: '2', at: null }]);
    expect(filtered.stdout).not.toContain('paid');
    expect(shown.stdout).toMatch(/^context {3}.*"state":"paid"/m);
    expect(shown.stdout).toMatch(/^\d+ +discarded +mails +1 {2}/m);
    const [, after] = /^There are more: --after (\S+)$/m.exec(list.stderr)!;
    const rest = await spark('events', 'list', '--json', '--group', 'order_placed', '--after', after!);
    expect(rest.json.map(({ key }) => key)).toEqual(['order_placed_1']);
  });

  it('deliveries and rechecks: with the error of each failed attempt', async () => {
    const [deliveries, rechecks] = await Promise.all([
      spark('deliveries', 'list', '--state', 'discarded', '--state', 'held', '--error', 'no answer', '--json'),
      spark('rechecks', 'list', '--to', '+36h', '--json'),
    ]);
    expect(rechecks.json).toMatchObject([{ entity: 'Order', entityId: '1', attempt: 0 }]);
    expect(deliveries.json).toMatchObject([{ handler: 'mails', state: 'discarded', event: { key: 'order_placed_2' } }]);
    const { id } = deliveries.json[0];
    const [people, machines] = await Promise.all([
      spark('deliveries', 'show', id),
      spark('deliveries', 'show', id, '--json'),
    ]);
    expect(people.stdout).toMatch(/^handler +mails$/m);
    expect(people.stdout).toMatch(/^Attempt 1, .* ms: Error: No answer/m);
    expect(people.stdout).not.toMatch(RAW);
    expect(machines.json[0].attempts).toMatchObject([{ attempt: 1 }]);
    expect(machines.json[0].error).toContain(HOSTILE);
  });

  it('nothing that a terminal acts on reaches it, neither from keys nor from errors', async () => {
    const outputs = await Promise.all([
      spark('events', 'list'),
      spark('events', 'list', '--json'),
      spark('deliveries', 'list', '--state', 'discarded'),
      spark('events', 'show', `${HOSTILE}_x`),
    ]);
    for (const { code, stdout, stderr } of outputs) {
      expect(code).toBe(0);
      expect(stdout + stderr).not.toMatch(RAW);
    }
    expect(outputs[0].stdout).toContain(String.raw`\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\r\nnext_x`);
    // What machines read is the text itself.
    expect(outputs[1].json.map(({ key }) => key)).toContain(`${HOSTILE}_x`);
  });
});

describe.each(databases)(
  'the command line changes nothing of the application, on $name',
  { timeout: 120_000 },
  (database) => {
    let db: TestDatabase;
    beforeEach(async () => (db = await database.create()));
    afterEach(() => db.drop());

    it('reads by a DataSource that would synchronize, drop and migrate, without doing so', async () => {
      const app = await startApp({
        database: db,
        entities: [Order],
        providers: [Shop].slice(1),
        clock: new TestClock(new Date()),
      });
      await app.dataSource.manager.save(Order, { id: 1, state: 'paid' });
      const more = `synchronize: true, dropSchema: true, migrationsRun: true, logging: true,
      migrations: [class Never1700000000000 { up() { throw new Error('ran') } down() {} }]`;
      const file = cli.write('eager.mjs', dataSourceText('esm', db, ['Order', 'Unwanted'], more));
      expect(await cli.run(['status', '--json', '-d', file])).toMatchObject({ code: 0, stderr: '' });
      expect(await app.dataSource.manager.find(Order)).toEqual([{ id: 1, state: 'paid' }]);
      const runner = app.dataSource.createQueryRunner();
      expect(await runner.hasTable('unwanted')).toBe(false);
      await runner.release();
      await app.close();
    });
  },
);

describe('where the tables are', { timeout: 120_000 }, () => {
  let db: TestDatabase;
  let file: string;
  beforeAll(async () => {
    db = await databases[0]!.createEmpty();
    file = cli.write('app/data-source.mjs', dataSourceText('esm', db));
    await cli.run(['migrate', 'up', '-d', file]);
  });
  afterAll(() => db.drop());

  it('is found in an ES module and in a CommonJS module', async () => {
    const common = cli.write('common.cjs', dataSourceText('cjs', db));
    expect(await cli.run(['status', '-d', common])).toMatchObject({ code: 0 });
    cli.write('old/package.json', '{ "type": "commonjs" }');
    const old = cli.write(
      'old/data-source.js',
      dataSourceText('cjs', db).replace('{ dataSource }', '{ __esModule: true, default: dataSource }'),
    );
    expect(await cli.run(['status', '-d', old])).toMatchObject({ code: 0 });
  });

  it('is taken from a flag, else from the environment, else from a config file', async () => {
    const wrong = { SPARK_DATA_SOURCE: 'wrong.mjs' };
    cli.write('spark.config.json', `{ "dataSource": "app/data-source.mjs" }`);
    const [byFile, byVariable, byFlag] = await Promise.all([
      cli.run(['status']),
      cli.run(['status'], wrong),
      cli.run(['status', '-d', file], wrong),
    ]);
    cli.unlink('spark.config.json');
    expect(byFile).toMatchObject({ code: 0, stderr: '' });
    expect(byVariable.stderr).toContain('wrong.mjs. Is it built?');
    expect(byFlag).toMatchObject({ code: 0, stderr: '' });
    cli.write('elsewhere/settings.mjs', `export default { dataSource: '../app/data-source.mjs' };`);
    cli.write('elsewhere/settings.cjs', `module.exports = { dataSource: '../app/data-source.mjs' };`);
    const given = await Promise.all([
      cli.run(['status', '--config', 'elsewhere/settings.mjs']),
      cli.run(['status'], { SPARK_CONFIG: 'elsewhere/settings.cjs' }),
    ]);
    expect(given).toMatchObject([{ code: 0 }, { code: 0 }]);
  });

  it('a wrong one: says what is wrong without a stack, and ends with 2', async () => {
    cli.write('nothing.mjs', 'export const answer = 42;');
    const other = `export const other = new DataSource({ type: 'postgres' });\nexport {`;
    cli.write('two.mjs', dataSourceText('esm', db).replace('export {', other));
    cli.write('broken.mjs', 'export default new (;');
    cli.write('typed.cts', 'enum A { b }; export = A;');
    cli.write('import.mjs', `import 'not-installed';`);
    cli.write('odd.json', '{ "dataSoruce": "x" }');
    const wrong: [args: string[], said: RegExp][] = [
      [['status'], /^Say where Spark's tables are: --data-source/],
      [['status', '-d', 'nowhere.js'], /^There is no data source file .*nowhere\.js\. Is it built\?\n$/],
      [['status', '-d', `${HOSTILE}.js`], /^There is no data source file /],
      [['status', '-d', 'nothing.mjs'], /nothing\.mjs exports no TypeORM DataSource\. It exports answer\./],
      [['status', '-d', 'two.mjs'], /exports 2 DataSources/],
      [['status', '-d', 'broken.mjs'], /broken\.mjs cannot be loaded: SyntaxError/],
      [['status', '-d', 'typed.cts'], /NODE_OPTIONS="--import tsx"/],
      [['status', '-d', 'import.mjs'], /not-installed/],
      [['status', '-c', 'odd.json'], /unknown setting dataSoruce\. Known ones: dataSource, module/],
      [['status', '-d', file, '--schema', 'x'], /left out on SQLite/],
      [['status', '-d', file, '--table-prefix', 'x; DROP'], /tablePrefix/],
      [['events', 'list', '-d', file, '--entity', HOSTILE], /^There is no entity "/],
      [['events', 'list', '-d', file, '--id', '7'], /^--id needs the --entity of the id\.\n$/],
      [['events', 'list', '--from', 'yesterday'], /It must be a time such as/],
      [['events', 'list', '--limit', '0'], /a whole number above 0/],
      [['deliveries', 'list', '--state', HOSTILE], /must be one of held, available/],
      [['deliveries', 'list', '-d', file, '--after', 'x'], /the next of the page before/],
      [['deliveries', 'show', 'x', '-d', file], /^"x" is not the id of a delivery/],
      [[HOSTILE], /^error: unknown command /],
    ];
    const ends = await Promise.all(wrong.map(([args]) => cli.run(args)));
    for (const [i, { code, stdout, stderr }] of ends.entries()) {
      expect({ args: wrong[i]![0], code, stdout }).toEqual({ args: wrong[i]![0], code: 2, stdout: '' });
      expect(stderr).toMatch(wrong[i]![1]);
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(stderr).not.toMatch(RAW);
    }
  });

  it('what does not exist: 1, and nothing on stdout; an empty list: 0', async () => {
    const ends = await Promise.all([
      cli.run(['events', 'show', HOSTILE, '-d', file]),
      cli.run(['deliveries', 'show', '987654', '-d', file]),
      cli.run(['handlers', 'pause', HOSTILE, '-d', file]),
      cli.run(['events', 'list', '-d', file]),
    ]);
    expect(ends.map(({ code, stdout }) => [code, stdout])).toEqual([
      [1, ''],
      [1, ''],
      [1, ''],
      [0, ''],
    ]);
    expect(ends[1].stderr).toBe('There is no delivery with the id 987654.\n');
    expect(ends[2].stderr).toMatch(/^There is no handler named/);
    expect(ends[3].stderr).toBe('No events.\n');
    for (const { stderr } of ends) expect(stderr).not.toMatch(RAW);
  });

  it('a database that does not answer, and code of the application that throws: 1, and a stack if one asks for it', async () => {
    const dead = cli.write(
      'dead.mjs',
      `import { DataSource } from 'typeorm'; export default new DataSource({ type: 'postgres', url: 'postgres://a:secret@127.0.0.1:1/x' });`,
    );
    const { code, stderr } = await cli.run(['status', '-d', dead]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^The database of .*dead\.mjs cannot be used: .*ECONNREFUSED/);
    expect(stderr).not.toContain('secret');
    cli.write('throws.mjs', `function configure() { throw new Error('no configuration'); }\nconfigure();`);
    const thrown = await cli.run(['status', '-d', 'throws.mjs']);
    expect(thrown).toMatchObject({ code: 1, stdout: '' });
    expect(thrown.stderr).toMatch(
      /throws\.mjs cannot be loaded: Error: no configuration\nAdd --stack to see where it was thrown\.\n$/,
    );
    expect((await cli.run(['status', '-d', 'throws.mjs', '--stack'])).stderr).toMatch(/at configure .*throws\.mjs/);
  });

  it('each command of the page about the command line works as it is shown', async () => {
    const page = await readFile('docs/command-line.md', 'utf8');
    const shown = blocksOf(page).filter(({ language }) => language === 'sh');
    const lines = shown.flatMap(({ code }) => [...code.matchAll(/^(?:npx )?spark (.*)$/gm)].map(([, line]) => line!));
    expect(lines.length).toBeGreaterThan(20);
    cli.write('dist/data-source.js', dataSourceText('esm', db, ['Challenge']));
    cli.write('dist/app.module.js', applicationText('esm', db, CHALLENGES));
    const options = { ...db.options, entities: [Challenge], synchronize: true } as DataSourceOptions;
    const dataSource = await new DataSource(options).initialize();
    await dataSource.manager.save(Challenge, { id: 7, state: 'ended' });
    await dataSource.destroy();
    const env = { SPARK_DATA_SOURCE: 'dist/data-source.js', SPARK_MODULE: 'dist/app.module.js#AppModule' };
    const run = async (line: string) => ({ line, ...(await cli.run(line.split(' '), env)) });
    // Two sweeps at once may leave a source to each other, and what is being handled is not erased.
    const isAlone = (line: string) => /^(sweep|baseline|erase|work)/.test(line);
    const oneByOne = async () => {
      const ends = [];
      for (const line of lines.filter(isAlone)) ends.push(await run(line));
      return ends;
    };
    const ends = await Promise.all([oneByOne(), ...lines.filter((line) => !isAlone(line)).map(run)]);
    for (const { line, code, stderr } of ends.flat()) expect({ line, code, stderr }).toMatchObject({ line, code: 0 });
  });

  it('TypeScript is loaded by the loader that the user has', async () => {
    const typescript = cli.write('load-typescript.mjs', LOADER);
    cli.write('typescript-hooks.mjs', HOOKS);
    cli.write('typed.mts', `${dataSourceText('esm', db)}\nenum Kind { One }\nexport const kind: Kind = Kind.One;\n`);
    const env = { NODE_OPTIONS: `--import ${typescript}` };
    expect(await cli.run(['status', '-d', 'typed.mts'], env)).toMatchObject({ code: 0, stderr: '' });
  });
});

const LOADER = `
import { register } from 'node:module';
register('./typescript-hooks.mjs', import.meta.url);
`;

const HOOKS = `
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
export async function load(url, context, next) {
  if (!url.endsWith('.mts')) return next(url, context);
  const fileName = fileURLToPath(url);
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  const { outputText } = ts.transpileModule(readFileSync(fileName, 'utf8'), { fileName, compilerOptions });
  return { format: 'module', source: outputText, shortCircuit: true };
}
`;
