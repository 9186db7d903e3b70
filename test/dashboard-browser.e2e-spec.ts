import { type DeliveryRecordFilter, sparkEvent } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { TestClock } from 'nestjs-spark/testing';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, openBrowser, overflowOf, visit, type Visit } from './support/browser.js';
import { type DashboardApp, type Framework, startDashboardApp } from './support/dashboard-app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { Parcel, ParcelHandlers, ParcelSource } from './support/parcels.js';

const FRAMEWORKS: readonly Framework[] = ['Express', 'Fastify'];
const arms = databases.flatMap((database) => FRAMEWORKS.map((framework) => ({ ...database, framework })));
const modes = [
  { mode: 'with', javaScriptEnabled: true },
  { mode: 'without', javaScriptEnabled: false },
];

const LONG = 'long_'.repeat(19);
const HOSTILE = `<script>alert('1')</script><img src=x onerror="alert(2)">`;
const GROUP = `parcel_${HOSTILE}`;
const HIDDEN = 'invoice\u202efdp.exe';
const HEBREW = 'שלום עולם';

let browser: Browser;
if (hasBrowser) {
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());
}

describe.runIf(hasBrowser).each(arms)(
  'the dashboard in Chromium, on $name with $framework,',
  ({ create, framework }) => {
    const handlers = new ParcelHandlers();
    let db: TestDatabase;
    let app: DashboardApp;
    let base: string;

    beforeAll(async () => {
      db = await create();
      app = await startDashboardApp({
        database: db,
        framework,
        entities: [Parcel],
        providers: [ParcelSource, { provide: ParcelHandlers, useValue: handlers }],
        dashboards: [SparkDashboardModule.forRoot({ access: () => 'all', environment: 'test' })],
        spark: { activation: { limit: 0 } },
        clock: new TestClock('2026-03-01T10:00:00Z'),
      });
      base = `${await app.listen()}/spark/`;
      await fill();
    });
    afterAll(async () => {
      await app.close();
      await db.drop();
    });

    /** Two parcels, one of which `labels` has failed for, and 15 that a sweep has found, so that their deliveries are held. */
    async function fill() {
      handlers.failing.set('labels parcel_sent_2', 'No printer');
      const due = String(Date.parse('2026-03-03T09:00:00Z'));
      await app.dataSource.manager.save(
        Parcel,
        [1, 2].map((id) => ({ id, sender: 'Ada', due })),
      );
      await app.spark.drain();
      await sweepRows(100, 15);
    }

    async function sweepRows(from: number, count: number) {
      const rows = Array.from({ length: count }, (_, i) => `(${from + i}, 'Raw', 4102444800000)`);
      await app.dataSource.query(`INSERT INTO parcel (id, sender, due) VALUES ${rows.join()}`);
      await app.spark.sweep();
    }

    /** Deliveries of a group that their handler has failed for. */
    async function fail(group: string, count: number, error: string) {
      handlers.failing.set(`works ${group}`, error);
      await app.spark.emit(Array.from({ length: count }, (_, i) => sparkEvent(group, i)));
      await app.spark.drain();
      handlers.failing.delete(`works ${group}`);
      expect(await countOf({ group, state: 'discarded' })).toBe(count);
    }

    const countOf = async (filter: DeliveryRecordFilter) =>
      (await app.spark.deliveries(filter, { limit: 1, countUpTo: 1_000 })).count;
    const idOf = async (filter: DeliveryRecordFilter) =>
      (await app.spark.deliveries(filter, { limit: 1 })).records[0]!.id;

    const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).first().click();
    const follow = (page: Page, name: string) => page.getByRole('link', { name, exact: true }).first().click();
    const sees = (page: Page, words: string) => page.getByText(words).first().waitFor();

    describe.each(modes)('$mode JavaScript', ({ mode, javaScriptEnabled }) => {
      let visitor: Visit;
      let page: Page;

      beforeAll(async () => {
        visitor = await visit(browser, base, { javaScriptEnabled });
        page = visitor.page;
      });
      afterAll(() => visitor.close());

      it('shows each page, within its policy and from one host', async () => {
        const delivery = await idOf({ handler: 'labels', state: 'discarded' });
        const paths = [
          '',
          'events',
          'event?key=parcel_sent_1',
          'deliveries?handler=labels',
          `delivery?id=${delivery}`,
          'errors',
          'entity?type=Parcel&id=1',
          'plan?days=7',
          'held',
          'sweeps',
          'handlers',
          'workers',
          'rechecks',
          'act?do=retry&state=discarded',
        ];
        const shown = [];
        for (const path of paths) shown.push([path, await visitor.open(path), await page.locator('main h1').count()]);
        expect(shown).toEqual(paths.map((path) => [path, 200, 1]));
        expect(visitor.complaints).toEqual([]);
      });

      it('retries one delivery, all that match, and all with one error', async () => {
        const group = `work_${mode}`;
        await fail(group, 3, `The server of ${mode} is away`);
        await visitor.open(`delivery?id=${await idOf({ group })}`);
        await press(page, 'Retry now');
        await sees(page, 'available');
        expect(await countOf({ group, state: 'available' })).toBe(1);
        await visitor.open(`deliveries?state=discarded&group=${group}`);
        await follow(page, 'Retry');
        await sees(page, 'Deliveries to retry: 2.');
        await press(page, 'Retry');
        await sees(page, 'Deliveries that are available again: 2.');
        expect(await countOf({ group, state: 'available' })).toBe(3);
        await app.spark.drain();
        await fail(`${group}_kind`, 2, `The printer of ${mode} burns`);
        await visitor.open(`errors?group=${group}_kind`);
        await follow(page, 'Retry all');
        await press(page, 'Retry');
        await sees(page, 'Deliveries that are available again: 2.');
        await app.spark.drain();
        expect(visitor.complaints).toEqual([]);
      });

      it('discards what waits, after a question that can be answered with no', async () => {
        const group = `work_late_${mode}`;
        await app.spark.emit([sparkEvent(group, 1), sparkEvent(group, 2)]);
        await visitor.open(`deliveries?group=${group}`);
        await follow(page, 'Discard');
        await follow(page, 'Cancel');
        await page.waitForURL(/\/deliveries\?/);
        expect(await countOf({ group, state: 'available' })).toBe(2);
        await follow(page, 'Discard');
        await press(page, 'Discard');
        await sees(page, 'Deliveries that were discarded: 2.');
        expect(await countOf({ group, state: 'discarded' })).toBe(2);
        expect(visitor.complaints).toEqual([]);
      });

      it('releases what is held', async () => {
        const held = (await countOf({ state: 'held' }))!;
        await visitor.open('held');
        await follow(page, 'Release 10 first');
        await sees(page, 'Deliveries to release: 10.');
        await press(page, 'Release');
        await sees(page, 'Deliveries that are available now: 10.');
        expect(await countOf({ state: 'held' })).toBe(held - 10);
        await visitor.open(`delivery?id=${await idOf({ state: 'held' })}`);
        await follow(page, 'Discard this delivery');
        await press(page, 'Discard');
        await sees(page, 'discarded');
        expect(await countOf({ state: 'held' })).toBe(held - 11);
        await app.spark.drain();
        expect(visitor.complaints).toEqual([]);
      });

      it('replays what a handler has done, after a count', async () => {
        const group = `work_again_${mode}`;
        await app.spark.emit([1, 2, 3].map((id) => sparkEvent(group, id)));
        await app.spark.drain();
        await visitor.open('handlers');
        const row = page.getByRole('row', { name: /^works .*Replay/ });
        await row.getByRole('link', { name: 'Replay events' }).click();
        await page.getByLabel('Group', { exact: true }).fill(group);
        await page.getByLabel('Finished deliveries').selectOption({ label: 'deliver them again' });
        await press(page, 'Count');
        await sees(page, 'Deliveries to open: 3.');
        await press(page, 'Replay');
        await sees(page, 'Deliveries that were opened: 3.');
        expect(await countOf({ group, state: 'available' })).toBe(3);
        await app.spark.drain();
        expect(visitor.complaints).toEqual([]);
      });

      it('pauses and resumes a handler', async () => {
        await visitor.open('handlers');
        await press(page, 'Pause');
        await press(page, 'Resume');
        await page.getByRole('button', { name: 'Resume' }).waitFor({ state: 'detached' });
        expect((await app.spark.health()).paused).toEqual([]);
        expect(visitor.complaints).toEqual([]);
      });

      it('starts a sweep, and pauses and resumes the sweeps of a source', async () => {
        const id = javaScriptEnabled ? 900 : 901;
        await app.dataSource.query(`INSERT INTO parcel (id, sender, due) VALUES (${id}, 'Raw', 4102444800000)`);
        await visitor.open('sweeps');
        await press(page, 'Start a sweep');
        await expect.poll(() => countOf({ key: `parcel_sent_${id}` }), { timeout: 10_000 }).toBe(2);
        await press(page, 'Pause');
        await press(page, 'Resume');
        await press(page, 'Pause');
        await page.getByRole('button', { name: 'Resume' }).waitFor();
        expect((await app.spark.sources())[0]!.paused).toBeInstanceOf(Date);
        await press(page, 'Resume');
        await page.getByRole('button', { name: 'Pause' }).waitFor();
        expect((await app.spark.sources())[0]!.paused).toBeUndefined();
        await app.spark.drain();
        expect(visitor.complaints).toEqual([]);
      });
    });

    it('shows hostile texts as texts, and none makes a page wider than a phone', async () => {
      handlers.failing.set(`labels ${GROUP}`, `${HOSTILE} ${LONG} ${HIDDEN} ${HEBREW}\n    at ${LONG}`);
      await app.spark.emit([
        sparkEvent(GROUP, LONG, { [HOSTILE]: `${HEBREW} ${HIDDEN} ${HOSTILE} ${LONG}` }),
        sparkEvent('parcel', HIDDEN),
      ]);
      await app.spark.drain();
      const { page, open, complaints, close } = await visit(browser, base, { viewport: { width: 390, height: 844 } });
      const search = new URLSearchParams({ group: GROUP }).toString();
      const { key } = (await app.spark.events({ group: GROUP })).records[0]!;
      const pages = [
        `event?${new URLSearchParams({ key }).toString()}`,
        `delivery?id=${await idOf({ group: GROUP, state: 'discarded' })}`,
        `events?${search}`,
        `deliveries?${search}`,
        'errors',
        `act?do=retry&${search}`,
      ];
      for (const path of pages) {
        expect([path, await open(path)]).toEqual([path, 200]);
        expect(await page.locator('main').textContent()).toContain(HOSTILE);
        expect([path, await page.locator('main script, main img').count(), await overflowOf(page)]).toEqual([
          path,
          0,
          0,
        ]);
      }
      await open('events?keyPrefix=parcel_invoice');
      expect(await page.locator('main').textContent()).toContain('invoice\\u202efdp.exe');
      expect(complaints).toEqual([]);
      await close();
    });
  },
);
