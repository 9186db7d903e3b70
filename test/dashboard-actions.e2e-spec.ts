import { setTimeout as delay } from 'node:timers/promises';
import { type DeliveryRecordFilter, sparkEvent } from 'nestjs-spark';
import { type DashboardAudit, SparkDashboardModule } from 'nestjs-spark-dashboard';
import { TestClock } from 'nestjs-spark/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  accessByHeader,
  checkedPage,
  type DashboardApp,
  dashboardArms,
  formIn,
  linkIn,
  startDashboardApp,
  textOf,
} from './support/dashboard-app.js';
import type { TestDatabase } from './support/databases.js';
import { Parcel, ParcelHandlers, ParcelSource } from './support/parcels.js';

const READ = { 'x-access': '"read"' };

describe.each(dashboardArms)('with the dashboard a person can, on $name with $framework,', ({ create, framework }) => {
  const handlers = new ParcelHandlers();
  const audit: Omit<DashboardAudit, 'at' | 'request'>[] = [];
  const hosts: unknown[] = [];
  let refuseAudit = false;
  let db: TestDatabase;
  let app: DashboardApp;

  beforeAll(async () => {
    db = await create();
    app = await startDashboardApp({
      database: db,
      framework,
      entities: [Parcel],
      providers: [ParcelSource, { provide: ParcelHandlers, useValue: handlers }],
      dashboards: [
        SparkDashboardModule.forRoot({
          access: accessByHeader,
          actTime: 0,
          auditLog: ({ at, request, ...entry }) => {
            if (refuseAudit) throw new Error('the audit log is full');
            audit.push(entry);
            hosts.push([at instanceof Date, typeof request.headers.host]);
          },
        }),
      ],
      spark: { activation: { limit: 0 } },
      clock: new TestClock('2026-03-01T10:00:00Z'),
    });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });
  beforeEach(() => {
    audit.length = 0;
    refuseAudit = false;
  });

  const page = async (path: string, headers: Record<string, string> = {}, status = 200) =>
    checkedPage(await app.get(`/spark/${path}`, headers), status);
  const post = (path: string, headers: Record<string, string> = {}) => app.post(`/spark/${path}`, headers);
  /** Presses the button of a page. Returns the page that comes, or where it leads. */
  const press = async (html: string, button: string) => {
    const to = formIn(html, button);
    expect(to, `a button ${button}`).toBeDefined();
    const response = await post(to!);
    return response.status === 303 ? response.headers.location! : checkedPage(response);
  };
  const countOf = async (filter: DeliveryRecordFilter) =>
    (await app.spark.deliveries(filter, { limit: 1, countUpTo: 10_000 })).count;
  const ofAudit = (action: string, about: object, count?: number) => [
    { phase: 'started', action, about, count: undefined, error: undefined },
    { phase: 'done', action, about, count, error: undefined },
  ];

  /** Deliveries of a group that their handler has failed for. */
  const fail = async (group: string, count: number, error = 'The server is away') => {
    handlers.failing.set(`works ${group}`, error);
    await app.spark.emit(Array.from({ length: count }, (_, i) => sparkEvent(group, i)));
    await app.spark.drain();
    handlers.failing.delete(`works ${group}`);
    expect(await countOf({ group, state: 'discarded' })).toBe(count);
  };
  /** Deliveries of a group that a sweep has found, so that they are held. */
  const hold = async (from: number, count: number) => {
    const rows = Array.from({ length: count }, (_, i) => `(${from + i}, 'Raw', 4102444800000)`);
    await app.dataSource.query(`INSERT INTO parcel (id, sender, due) VALUES ${rows.join()}`);
    await app.spark.sweep();
  };

  it('retry one delivery at once', async () => {
    await fail('work_one', 2);
    const { id } = (await app.spark.deliveries({ group: 'work_one' })).records[0]!;
    expect(await press(await page(`delivery?id=${id}`), 'Retry now')).toBe(`delivery?id=${id}`);
    expect(await countOf({ group: 'work_one', state: 'available' })).toBe(1);
    await app.spark.drain();
    expect(textOf(await page(`delivery?id=${id}`))).toContain('State completed');
    expect(audit).toEqual(ofAudit('retry', { deliveryId: id }, 1));
    expect(hosts.at(-1)).toEqual([true, 'string']);
  });

  it('retry all that match, not only those on the page, after a count', async () => {
    await fail('work_many', 60);
    await fail('work_other', 1);
    const list = await page('deliveries?state=discarded&group=work_many');
    const question = await page(linkIn(list, 'Retry')!);
    expect(textOf(question)).toContain('Deliveries to retry: 60.');
    expect(await countOf({ group: 'work_many', state: 'discarded' })).toBe(60);
    expect(linkIn(question, 'Cancel')).toBe('deliveries?group=work_many&state=discarded');
    expect(textOf(await press(question, 'Retry'))).toContain('Deliveries that are available again: 60.');
    expect(await countOf({ group: 'work_many', state: 'available' })).toBe(60);
    expect(await countOf({ group: 'work_other', state: 'discarded' })).toBe(1);
    expect(audit).toEqual(ofAudit('retry', { group: 'work_many', state: 'discarded' }, 60));
    expect(textOf(await page('act?do=retry&group=work_many&state=discarded'))).toContain(
      'no delivery that this would change',
    );
    await app.spark.drain();
  });

  it('retry all with one kind of error', async () => {
    await fail('work_kind', 3, 'The printer burns');
    await fail('work_kind_2', 2, 'The post office is closed');
    const errors = await page('errors?group=work_kind');
    expect(textOf(errors)).toContain('The printer burns works 3 3');
    const question = await page(linkIn(errors, 'Retry all')!);
    expect(textOf(await press(question, 'Retry'))).toContain('Deliveries that are available again: 3.');
    expect(await countOf({ group: 'work_kind_2', state: 'discarded' })).toBe(2);
    await app.spark.drain();
  });

  it('discard what waits, and go on when the time of one request was over', async () => {
    await app.spark.emit(Array.from({ length: 1_100 }, (_, i) => sparkEvent('work_late', i)));
    const question = await page('act?do=discard&group=work_late');
    expect(textOf(question)).toContain('Deliveries to discard: 1,100.');
    const stopped = await press(question, 'Discard');
    expect(textOf(stopped)).toMatch(/Deliveries that were discarded: 1,000\..*Deliveries that are left: 100\./);
    expect(await countOf({ group: 'work_late', state: 'available' })).toBe(100);
    const ended = await press(stopped, 'Go on');
    expect(textOf(ended)).toContain('Deliveries that were discarded: 100.');
    expect(formIn(ended, 'Go on')).toBeUndefined();
    expect(await countOf({ group: 'work_late', state: 'discarded' })).toBe(1_100);
    expect(audit.map(({ phase, count }) => `${phase} ${count}`)).toEqual([
      'started undefined',
      'stopped 1000',
      'started undefined',
      expect.stringMatching(/^(done|stopped) 100$/),
    ]);
  });

  it('release ten first, then all, and discard what is held', async () => {
    await hold(100, 15);
    const held = { group: 'parcel_sent', state: 'held' } as const;
    expect(await countOf(held)).toBe(30);
    const first = await page(linkIn(await page('held'), 'Release 10 first')!);
    expect(textOf(first)).toContain('Deliveries to release: 10.');
    expect(textOf(await press(first, 'Release'))).toContain('Deliveries that are available now: 10.');
    expect(await countOf(held)).toBe(20);
    const { id } = (await app.spark.deliveries(held)).records[0]!;
    const one = await page(linkIn(await page(`delivery?id=${id}`), 'Release this delivery')!);
    expect(await press(one, 'Release')).toBe(`delivery?id=${id}`);
    expect(await countOf(held)).toBe(19);
    const [other] = (await app.spark.deliveries(held)).records;
    const rest = await page(linkIn(await page(`delivery?id=${other!.id}`), 'Discard this delivery')!);
    expect(await press(rest, 'Discard')).toBe(`delivery?id=${other!.id}`);
    const all = await page(linkIn(await page('held'), 'Release all')!);
    expect(textOf(await press(all, 'Release'))).toContain('Deliveries that are available now: 18.');
    expect(textOf(await page('held'))).toContain('Nothing is held.');
    await app.spark.drain();
  });

  it('pause and resume a handler', async () => {
    expect(await press(await page('handlers'), 'Pause')).toBe('handlers');
    const paused = (await app.spark.handlers()).filter((handler) => handler.paused !== undefined);
    expect(paused.map(({ handler }) => handler)).toEqual(['labels']);
    expect(textOf(await page('handlers'))).toMatch(/labels .*paused \d{4}-/);
    expect(await press(await page('handlers'), 'Resume')).toBe('handlers');
    expect((await app.spark.health()).paused).toEqual([]);
    expect(audit).toEqual([
      ...ofAudit('pauseHandler', { handler: 'labels' }),
      ...ofAudit('resumeHandler', { handler: 'labels' }),
    ]);
  });

  it('start a sweep that goes on without the request, and pause and resume the sweeps of a source', async () => {
    await app.dataSource.query(`INSERT INTO parcel (id, sender, due) VALUES (900, 'Raw', 4102444800000)`);
    expect(await press(await page('sweeps'), 'Start a sweep')).toBe('sweeps');
    for (let tries = 0; audit.length < 2 && tries < 500; tries++) await delay(20);
    expect((await app.spark.events({ key: 'parcel_sent_900' })).records).toHaveLength(1);
    expect(audit).toEqual(ofAudit('sweep', { entity: 'Parcel' }, 1));
    expect(await press(await page('sweeps'), 'Pause')).toBe('sweeps');
    expect((await app.spark.sources())[0]!.paused).toBeInstanceOf(Date);
    const paused = await page('sweeps');
    expect([formIn(paused, 'Start a sweep'), textOf(paused)]).toEqual([undefined, expect.stringContaining('paused')]);
    expect(await press(paused, 'Resume')).toBe('sweeps');
    expect((await app.spark.sources())[0]!.paused).toBeUndefined();
  });

  it('do nothing with read access, and no page offers it', async () => {
    await fail('work_read', 1);
    for (const name of ['', 'events', 'deliveries?group=work_read', 'errors', 'held', 'sweeps', 'handlers']) {
      const html = await page(name, READ);
      expect(html).not.toMatch(/method="post"|href="act/);
    }
    await page('act?do=retry&group=work_read', READ, 403);
    const actions = [
      'retry',
      'discard',
      'release',
      'pauseHandler&handler=works',
      'resumeHandler&handler=works',
      'sweep&entity=Parcel',
      'pauseSweep&source=parcels',
      'resumeSweep&source=parcels',
    ];
    for (const action of actions)
      expect(textOf(checkedPage(await post(`act?do=${action}`, READ), 403))).toContain('You may not do this.');
    expect(await countOf({ group: 'work_read', state: 'discarded' })).toBe(1);
    expect((await app.spark.health()).paused).toEqual([]);
    expect(audit).toEqual([]);
  });

  it('do what a list of actions grants, and no more', async () => {
    await fail('work_list', 1);
    const granted = { 'x-access': '["retry"]' };
    const html = await page('deliveries?group=work_list', granted);
    expect([linkIn(html, 'Retry'), linkIn(html, 'Discard')]).toEqual(['act?do=retry&group=work_list', undefined]);
    checkedPage(await post('act?do=discard&group=work_list', granted), 403);
    checkedPage(await post('act?do=retry&group=work_list', granted));
    expect(await countOf({ group: 'work_list', state: 'available' })).toBe(1);
    await app.spark.drain();
  });

  it.each([['cross-site'], ['same-site'], ['none'], ['']])(
    'not act from another page: Sec-Fetch-Site is %j',
    async (site) => {
      await fail(`work_site_${site}`, 1);
      const response = await post(`act?do=retry&group=work_site_${site}`, { 'Sec-Fetch-Site': site });
      expect(textOf(checkedPage(response, 403))).toContain('does not come from a page of the dashboard');
      expect(await countOf({ group: `work_site_${site}`, state: 'discarded' })).toBe(1);
      expect(audit).toEqual([]);
    },
  );

  it('not change anything by GET, by a filter that is not spelled well, or by an unknown action', async () => {
    await fail('work_safe', 1);
    await page('act?do=retry&group=work_safe');
    await page('act?do=pauseHandler&handler=works', {}, 400);
    for (const [path, words] of [
      ['act?do=retry&grup=work_safe', 'The address has "grup".'],
      ['act?do=release&state=discarded', `Expected: 'held'`],
      ['act?do=forget&all=true', 'Expected: one of retry'],
      ['act', 'The address lacks do.'],
      ['act?do=sweep&entity=Nobody', 'no source of the entity "Nobody"'],
      ['act?do=pauseHandler&handler=nobody', 'nobody'],
    ] as const)
      expect(textOf(checkedPage(await post(path), 400))).toContain(words);
    checkedPage(await post('events'), 404);
    expect(await countOf({ group: 'work_safe', state: 'discarded' })).toBe(1);
  });

  it('not act if the audit log refuses', async () => {
    await fail('work_audit', 1);
    refuseAudit = true;
    const response = await post('act?do=retry&group=work_audit');
    expect(textOf(checkedPage(response, 500))).toContain('The log of the application says why.');
    expect(await countOf({ group: 'work_audit', state: 'discarded' })).toBe(1);
    expect(response.text).not.toContain('the audit log is full');
  });
});
