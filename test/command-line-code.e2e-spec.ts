import { TestClock } from 'nestjs-spark/testing';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import {
  applicationText,
  type CommandLine,
  commandLine,
  dataSourceText,
  type Ended,
  HOSTILE,
  RAW,
} from './support/command-line.js';
import { databases, type TestDatabase } from './support/databases.js';
import { DAY } from './support/set-clock.js';

@Entity({ name: 'ticket' })
class Ticket {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

const START = Date.now();
const APPLICATION = {
  entity: 'Ticket',
  members: `
  *tickets({ id, state }) {
    if (state === 'broken') throw new Error('It is broken.');
    yield sparkEvent('ticket_' + state, id, { state });
    yield sparkEvent('ticket_due', id, undefined, { at: new Date(${START} + id * ${DAY}) });
  }
  mail() { console.log('RAN handler'); }`,
  decorators: {
    tickets: `EventSource(Ticket, { name: 'tickets' })`,
    mail: `GroupHandler(/^ticket/, { name: 'mails' })`,
  },
};

let cli: CommandLine;
beforeAll(async () => {
  cli = await commandLine();
});
afterAll(() => cli.remove());

/** What the application has: it captures and handles nothing in this process. */
interface World {
  readonly db: TestDatabase;
  readonly app: TestApp;
  /** Runs a command with the module of the application, or with its DataSource alone. */
  readonly spark: (...args: string[]) => Promise<Ended>;
  readonly onTables: (...args: string[]) => Promise<Ended>;
  readonly module: string;
}

async function worldOn({ name, create }: (typeof databases)[number], kind: 'esm' | 'cjs'): Promise<World> {
  const db = await create();
  const clock = new TestClock(new Date(START));
  const app = await startApp({ database: db, entities: [Ticket], spark: { live: false }, clock });
  const module = cli.write(`${name}.${kind === 'esm' ? 'mjs' : 'cjs'}`, applicationText(kind, db, APPLICATION));
  const tables = cli.write(`${name}-tables.mjs`, dataSourceText('esm', db, ['Ticket']));
  const spark = (...args: string[]) => cli.run([...args, '-m', module]);
  return { db, app, module, spark, onTables: (...args) => cli.run([...args, '-d', tables]) };
}

/** What the tables hold, without what is of this process. */
async function rowsOf({ spark }: TestApp) {
  const [{ counts: _, ...status }, ...rest] = await Promise.all([
    spark.status(),
    spark.events(),
    spark.deliveries(),
    spark.rechecks(),
  ]);
  return [status, ...rest];
}

describe.each(databases)(
  'the command line runs the code of an application, on $name',
  { timeout: 120_000 },
  (database) => {
    let world: World;
    let app: TestApp;
    let spark: World['spark'];

    beforeAll(async () => {
      world = await worldOn(database, database.name === 'PostgreSQL' ? 'cjs' : 'esm');
      ({ app, spark } = world);
      await app.dataSource.manager.save(
        Ticket,
        ['open', 'open', HOSTILE].map((state, i) => ({ id: i + 1, state })),
      );
    });
    afterAll(async () => {
      await app.close();
      await world.db.drop();
    });

    const states = async (filter = {}) =>
      (await app.spark.deliveries(filter)).records.map(({ event, state }) => `${event.key} ${state}`).sort();

    it('plan and explain: what would happen, and why; they change no row', async () => {
      const before = await rowsOf(app);
      const [summary, listed, check, explained, unknown] = await Promise.all([
        spark('plan', '--summary', '--json'),
        spark('plan', '--json', '--entity', 'Ticket', '--id', '1', '--at', '+36h'),
        spark('plan', '--check', '--max-new', '2'),
        spark('explain', 'Ticket', '1', '--json'),
        spark('explain', 'Ticket', '99'),
      ]);
      expect(summary).toMatchObject({ code: 0, stderr: '' });
      expect(summary.json).toMatchObject([
        { read: 3, total: { enter: 3, later: 0, schedule: 3, deliveries: 3, held: 0 }, problems: [] },
      ]);
      expect(listed.code).toBe(0);
      expect(listed.json.map(({ outcome, key, handlers }) => [outcome, key, handlers]).sort()).toEqual([
        ['enter', 'ticket_due_1', ['mails']],
        ['enter', 'ticket_open_1', ['mails']],
      ]);
      expect(check.code).toBe(1);
      expect(check.stdout).toMatch(/^The check has failed: 3 deliveries would go out, and --max-new is 2\.$/m);
      expect(explained.json).toMatchObject([{ entity: 'Ticket', id: '1', exists: true, events: [], rechecks: [] }]);
      expect(explained.json[0].words.join('\n')).toMatch(/^ticket_open_1: it is true, but .* sweep enters it\.$/m);
      expect(unknown.code).toBe(1);
      expect(unknown.stdout).toMatch(/There is no Ticket 99/);
      expect(await rowsOf(app)).toEqual(before);
    });

    it('baseline, replay, erase, forget and sweep: as the calls do', async () => {
      const baseline = await spark('baseline', 'Ticket', '--yes', '--json');
      expect(baseline).toMatchObject({ code: 0, json: [{ subjects: 3, entered: 3, failed: 0, held: 0 }] });
      expect(new Set((await app.spark.deliveries()).records.map(({ state }) => state))).toEqual(new Set(['discarded']));

      const replay = ['replay', '--handler', 'mails', '--group', 'ticket_open', '--repeat', '--yes', '--json'];
      expect((await spark(...replay)).json).toEqual([{ act: 'replay', dryRun: false, deliveries: 2 }]);
      expect(await states({ group: 'ticket_open' })).toEqual(['ticket_open_1 available', 'ticket_open_2 available']);

      const [erased, forgotten] = await Promise.all([
        world.onTables('erase', 'Ticket', '1', '--yes', '--json'),
        world.onTables('forget', 'Ticket', '2', '--yes'),
      ]);
      expect(erased.json).toEqual([{ act: 'erase', dryRun: false, events: 1, discarded: 1, running: 0 }]);
      expect(forgotten).toMatchObject({ code: 0, stdout: '1 events forgotten.\n' });
      expect(await states({ group: 'ticket_open' })).toEqual(['ticket_open_1 discarded']);
      expect((await app.spark.rechecks()).records.map(({ entityId }) => entityId).sort()).toEqual(['1', '3']);

      // The key of what was erased is still there.
      const swept = await spark('sweep', '--source', 'tickets', '--json');
      expect(swept).toMatchObject({ code: 0, json: [{ subjects: 3, entered: 1, failed: 0, held: 0 }] });
      expect(swept.stderr).not.toContain('RAN');
      expect(await states({ group: 'ticket_open' })).toEqual(['ticket_open_1 discarded', 'ticket_open_2 available']);
    });

    it('SIGINT ends a sweep at its next page, and the next sweep goes on there: nothing is lost', async () => {
      const rows = Array.from({ length: 2_997 }, (_, i) => `(${i + 4}, 'bulk')`);
      await app.dataSource.query(`INSERT INTO ticket (id, state) VALUES ${rows.join(', ')}`);
      const bulk = async (list: 'events' | 'deliveries') =>
        (await app.spark[list]({ group: 'ticket_bulk' }, { limit: 1, countUpTo: 10_000 })).count!;
      const { process, ended } = cli.start(['sweep', '--rate', '1000', '--json', '-m', world.module]);
      while ((await bulk('events')) === 0) await delay(10);
      process.kill('SIGINT');
      const { code, stdout, stderr } = await ended;
      expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
      expect(stderr).toMatch(/^What it has found stays\. The next sweep goes on from there\.\nInterrupted\.\n$/m);
      const passed = 3 + (await bulk('events'));
      expect(passed % 500).toBe(0);
      expect(passed).toBeLessThan(3_000);
      const rest = await spark('sweep', '--json');
      expect(rest.json).toMatchObject([{ subjects: 3_000 - passed + 3_000, entered: 3_000 - passed, failed: 0 }]);
      expect(await bulk('events')).toBe(2_997);
      expect(await bulk('deliveries')).toBe(2_997);
      // They are more than activation.limit.
      expect(rest).toMatchObject({ code: 0, json: [{ held: 2_997 }] });
      expect(rest.stderr).toMatch(/^Held deliveries wait: spark deliveries release/m);
    });
  },
);

describe('the command line with the code of an application', { timeout: 120_000 }, () => {
  let world: World;
  beforeAll(async () => {
    world = await worldOn(databases[0]!, 'esm');
    await world.app.dataSource.manager.save(Ticket, [
      { id: 1, state: HOSTILE },
      { id: 2, state: 'open' },
    ]);
  });
  afterAll(async () => {
    await world.app.close();
    await world.db.drop();
  });

  it('shows people tables and sentences, and nothing that a terminal acts on', async () => {
    const { spark } = world;
    const [list, cut, summary, check, explained, baseline] = await Promise.all([
      spark('plan'),
      spark('plan', '--limit', '1'),
      spark('plan', '--summary'),
      spark('plan', '--check', '--max-new', '2', '--json'),
      spark('explain', 'Ticket', '1'),
      spark('baseline', 'Ticket', '--dry-run'),
    ]);
    const shown = String.raw`ticket_\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\r\nnext`;
    for (const { stdout } of [list, summary, explained]) expect(stdout).toContain(shown);
    for (const { code, stdout, stderr } of [list, cut, summary, check, explained, baseline]) {
      expect(code).toBe(0);
      expect(stdout + stderr).not.toMatch(RAW);
    }
    expect(list.stdout).toMatch(/^AT +OUTCOME +KEY +ENTITY +ID +SOURCE +HANDLERS +REASON\n/);
    expect(list.stdout).toMatch(/^\S+Z +schedule +ticket_due_2 +Ticket +2 +tickets +mails$/m);
    expect(cut.stdout.trim().split('\n')).toHaveLength(2);
    expect(cut.stderr).toMatch(/^There are more: raise --limit/);
    expect(summary.stdout).toMatch(/^deliveries that go out +2$/m);
    expect(summary.stdout).toMatch(/^tickets +ticket_open +1 +0 +0 +\S+Z +\S+Z +available +mails 1$/m);
    expect(check.json).toMatchObject([{ check: { deliveries: 2, maxNew: 2, passed: true } }]);
    expect(explained.stdout).toMatch(/^entity {2}Ticket\nid {6}1\nrow {5}exists\nevents {2}0\n\n/);
    expect(baseline.stdout).toBe(
      '2 events would be entered without deliveries, and 0 held deliveries would be discarded.\n',
    );
    expect(await world.app.spark.sources()).toEqual([]);
  });

  it('a check fails, too, if a source does: then a plan is not complete, and a sweep says so', async () => {
    const { app, spark } = world;
    await app.dataSource.manager.save(Ticket, { id: 3, state: 'broken' });
    const [check, swept] = await Promise.all([
      spark('plan', '--check', '--max-new', '1000'),
      spark('sweep', '--entity', 'Ticket', '--ids', '3', '--rate', '10', '--concurrency', '2'),
    ]);
    expect(check.code).toBe(1);
    expect(check.stdout).toMatch(/^fail +tickets +1 +3 +.*It is broken/m);
    expect(check.stdout).toMatch(/^The check has failed: the plan has 1 kinds of problems/m);
    expect(swept.code).toBe(1);
    expect(swept.stdout).toMatch(/^entities read +1\nnew events +0\n/);
    expect(swept.stdout).toMatch(/^entities failed +1$/m);
    expect(swept.stderr).toMatch(/^Sources have failed/m);
    await app.dataSource.manager.remove(await app.dataSource.manager.findBy(Ticket, { id: 3 }));
  });

  it('pauses the sweeps of a source, and lets them go on', async () => {
    const { spark, onTables } = world;
    // The source is known since it was swept.
    expect((await onTables('sweep', 'pause', 'tickets')).stdout).toBe('The sweeps of tickets are paused.\n');
    const paused = await spark('sweep');
    expect(paused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^1 sources are paused/m) });
    expect((await onTables('sweep', 'resume', 'tickets', '--json')).json).toEqual([
      { source: 'tickets', paused: false },
    ]);
    expect((await spark('sweep', '--full', '--json')).json).toMatchObject([{ subjects: 2, entered: 2, paused: 0 }]);
  });

  it('changes nothing in a dry run, or without --yes where nobody can be asked', async () => {
    const { app, spark, onTables } = world;
    const before = await rowsOf(app);
    const [replay, erase, forget, ...unasked] = await Promise.all([
      spark('replay', '--handler', 'mails', '--dry-run', '--json'),
      onTables('erase', 'Ticket', '2', '--dry-run'),
      onTables('forget', '--group', 'ticket_open', '--dry-run'),
      spark('baseline', 'Ticket'),
      spark('replay', '--handler', 'mails'),
      onTables('erase', 'Ticket', '2'),
      onTables('forget', 'Ticket', '2'),
      onTables('forget', '--all'),
    ]);
    expect(replay.json).toEqual([{ act: 'replay', dryRun: true, deliveries: 0 }]);
    expect(erase.stdout).toBe('1 events would be erased, 1 deliveries would be discarded.\n');
    expect(forget.stdout).toBe('1 events would be forgotten.\n');
    for (const { code, stdout, stderr } of unasked) {
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^Nothing was changed: \w+ needs --yes/m);
    }
    expect(await rowsOf(app)).toEqual(before);
  });

  it('says what is wrong with a call, and ends with 2, or with 1 where it names what does not exist', async () => {
    const { spark, onTables } = world;
    cli.write('dead.mjs', applicationText('esm', DEAD, APPLICATION));
    const calls: [code: number, said: RegExp, end: Promise<Ended>][] = [
      [2, /^Say where Spark's tables are: --module/, cli.run(['explain', 'Ticket', '1'])],
      [2, /^There is no module file .*nowhere\.mjs/, cli.run(['plan', '-m', 'nowhere.mjs'])],
      [1, /ECONNREFUSED/, cli.run(['plan', '-m', 'dead.mjs'])],
      [2, /^"seven" cannot be an id of Ticket/m, spark('explain', 'Ticket', 'seven')],
      [2, /^There is no entity "/m, spark('baseline', HOSTILE, '--yes')],
      [2, /Plain, which has no event source/m, spark('plan', '--entity', 'Plain')],
      [2, /a Date that is not past/m, spark('plan', '--at', '-1d')],
      [2, /^--check and --max-new need each other/, spark('plan', '--check')],
      [2, /leave --id out/, spark('plan', '--summary', '--entity', 'Ticket', '--id', '1')],
      [2, /a whole number, 0 or above/, spark('plan', '--check', '--max-new', '-1')],
      [2, /need the --entity of the ids/, spark('sweep', '--ids', '1')],
      [1, /There is no event source named/m, spark('sweep', '--source', HOSTILE)],
      [1, /There is no event source named/m, onTables('sweep', 'pause', HOSTILE)],
      [2, /required option '--handler <name>'/, spark('replay', '--yes')],
      [1, /There is no handler named/m, spark('replay', '--handler', HOSTILE, '--yes')],
      [2, /^Nothing was changed: say which to forget/m, onTables('forget', '--yes')],
      [2, /^Nothing was changed: say which Ticket/m, onTables('forget', 'Ticket', '--yes')],
      [2, /excludes other options/m, onTables('forget', 'Ticket', '1', '--group', 'x', '--yes')],
      [2, /^"1,2" cannot be an id of Ticket/m, onTables('erase', 'Ticket', '1,2', '--yes')],
    ];
    for (const [code, said, end] of calls) {
      const { stdout, stderr, ...ended } = await end;
      expect({ said, code: ended.code, stdout }).toEqual({ said, code, stdout: '' });
      expect(stderr).toMatch(said);
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(stderr).not.toMatch(RAW);
    }
  });
});

/** Nothing listens there. */
const DEAD: TestDatabase = {
  options: { type: 'postgres', url: 'postgres://nobody@127.0.0.1:1/none' },
  drop: async () => undefined,
};
