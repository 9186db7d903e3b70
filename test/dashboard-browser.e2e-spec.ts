import { setTimeout as delay } from 'node:timers/promises';
import { sparkEvent } from 'nestjs-spark';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Arm, arms, BrowsedApp } from './support/browsed-app.js';
import { hasBrowser, openBrowser, overflowOf, show, visit, type Visit } from './support/browser.js';

const LONG = 'long_'.repeat(19);
const HOSTILE = `<script>alert('1')</script><img src=x onerror="alert(2)">`;
const GROUP = `parcel_${HOSTILE}`;
const HIDDEN = 'invoice\u202efdp.exe';
const HEBREW = 'שלום עולם';

const opened = new Map<Arm, Promise<BrowsedApp>>();
/** The application of an arm, which all its tests share. */
function appOf(arm: Arm): Promise<BrowsedApp> {
  let app = opened.get(arm);
  if (!app) opened.set(arm, (app = BrowsedApp.start(arm)));
  return app;
}
let browser: Browser;
if (hasBrowser) {
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(async () => {
    for (const app of opened.values()) await (await app).close();
    await browser.close();
  });
}

const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).first().click();
const follow = (page: Page, name: string) => page.getByRole('link', { name, exact: true }).first().click();
const sees = (page: Page, words: string) => page.getByText(words).first().waitFor();

describe.runIf(hasBrowser).each(arms)(
  'in Chromium, on $name with $framework, $mode JavaScript, the dashboard',
  (arm) => {
    const { name, javaScriptEnabled } = arm;
    let app: BrowsedApp;
    let visitor: Visit;
    let page: Page;

    beforeAll(async () => {
      app = await appOf(arm);
      visitor = await visit(browser, `${app.root}spark/`, { javaScriptEnabled });
      page = visitor.page;
    });
    afterAll(() => visitor.close());

    it('shows its pages, within its policy and from one host', async () => {
      await visitor.open('../spark');
      expect(page.url()).toBe(`${app.root}spark/`);
      await page.getByRole('navigation').getByRole('link', { name: 'Events', exact: true }).click();
      await page.waitForURL(`${app.root}spark/events`);
      // The stylesheet is in force.
      await page.getByRole('link', { name: 'Skip to the content' }).waitFor({ state: 'attached' });
      expect((await page.getByRole('navigation').getByRole('listitem').first().boundingBox())!.x).toBe(16);
      const paths = ['event?key=parcel_sent_1', 'entity?type=Parcel&id=1', 'plan?days=7', 'workers', 'rechecks'];
      const shown = [];
      for (const path of paths) shown.push([path, await visitor.open(path), await page.locator('main h1').count()]);
      expect(shown).toEqual(paths.map((path) => [path, 200, 1]));
      expect(visitor.complaints).toEqual([]);
    });

    it('retries one delivery, and all with one error', async () => {
      await app.fail('work', 3, 'The server is away');
      await visitor.open(`delivery?id=${await app.idOf({ group: 'work' })}`);
      await press(page, 'Retry now');
      await sees(page, 'available');
      expect(await app.countOf({ group: 'work', state: 'available' })).toBe(1);
      await visitor.open('errors?group=work');
      await follow(page, 'Retry all');
      await sees(page, 'Deliveries to retry: 2.');
      await press(page, 'Retry');
      await sees(page, 'Deliveries that are available again: 2.');
      await app.spark.drain();
      expect(await app.countOf({ group: 'work', state: 'completed' })).toBe(3);
      expect(visitor.complaints).toEqual([]);
    });

    it('discards what waits, after a question that can be answered with no', async () => {
      const late = { group: 'work_late' };
      await app.spark.emit([sparkEvent(late.group, 1), sparkEvent(late.group, 2)]);
      await visitor.open('deliveries?group=work_late');
      await follow(page, 'Discard');
      await sees(page, 'Deliveries to discard: 2.');
      const no = page.getByRole('link', { name: 'Cancel', exact: true });
      expect(await no.getAttribute('href')).toBe('deliveries?group=work_late');
      expect(await app.countOf({ ...late, state: 'available' })).toBe(2);
      await press(page, 'Discard');
      await sees(page, 'Deliveries that were discarded: 2.');
      expect(await app.countOf({ ...late, state: 'discarded' })).toBe(2);
      expect(visitor.complaints).toEqual([]);
    });

    it('releases what is held', async () => {
      expect(await app.countOf({ state: 'held' })).toBe(30);
      await visitor.open('held');
      await follow(page, 'Release 10 first');
      await sees(page, 'Deliveries to release: 10.');
      await press(page, 'Release');
      await sees(page, 'Deliveries that are available now: 10.');
      expect(await app.countOf({ state: 'held' })).toBe(20);
      await app.spark.drain();
      expect(visitor.complaints).toEqual([]);
    });

    it('replays what a handler has done, after a count', async () => {
      const again = { group: 'work_again' };
      await app.spark.emit([1, 2, 3].map((id) => sparkEvent(again.group, id)));
      await app.spark.drain();
      await visitor.open('handlers');
      const row = page.getByRole('row', { name: /^works .*Replay/ });
      await row.getByRole('link', { name: 'Replay events' }).click();
      await page.getByLabel('Group', { exact: true }).fill(again.group);
      await page.getByLabel('Finished deliveries').selectOption({ label: 'deliver them again' });
      await press(page, 'Count');
      await sees(page, 'Deliveries to open: 3.');
      await press(page, 'Replay');
      await sees(page, 'Deliveries that were opened: 3.');
      expect(await app.countOf({ ...again, state: 'available' })).toBe(3);
      await app.spark.drain();
      expect(visitor.complaints).toEqual([]);
    });

    it('pauses and resumes a handler', async () => {
      await visitor.open('handlers');
      await press(page, 'Pause');
      await page.getByRole('button', { name: 'Resume' }).waitFor();
      expect((await app.spark.health()).paused).toHaveLength(1);
      await press(page, 'Resume');
      await page.getByRole('button', { name: 'Resume' }).waitFor({ state: 'detached' });
      expect((await app.spark.health()).paused).toEqual([]);
      expect(visitor.complaints).toEqual([]);
    });

    it('starts a sweep, and pauses and resumes the sweeps of a source', async () => {
      await app.insertRows(900, 1);
      await visitor.open('sweeps');
      await press(page, 'Start a sweep');
      await expect.poll(() => app.countOf({ key: 'parcel_sent_900' }), { timeout: 10_000 }).toBe(2);
      await press(page, 'Pause');
      await page.getByRole('button', { name: 'Resume' }).waitFor();
      expect((await app.spark.sources())[0]!.paused).toBeInstanceOf(Date);
      await press(page, 'Resume');
      await page.getByRole('button', { name: 'Pause' }).waitFor();
      expect((await app.spark.sources())[0]!.paused).toBeUndefined();
      await app.spark.drain();
      expect(visitor.complaints).toEqual([]);
    });

    it.runIf(name === 'SQLite')('lets in whom a guard lets through, and nobody else', async () => {
      expect(await visitor.open('../guarded/')).toBe(403);
      expect(await page.locator('nav, main').count()).toBe(0);
      // The answer is that of the application, for which Chromium asks for an icon.
      visitor.complaints.length = 0;
      await page.setExtraHTTPHeaders({ 'x-badge': '7' });
      expect(await visitor.open('../guarded/')).toBe(200);
      await page.setExtraHTTPHeaders({});
      for (const [path, words] of [
        ['../refusing/deliveries', 'You may not see this dashboard.'],
        ['../closed/deliveries', 'SparkDashboardModule.forRoot({ guards: [AdminGuard] })'],
      ] as const) {
        expect([path, await visitor.open(path)]).toEqual([path, 403]);
        expect(await page.locator('main').textContent()).toContain(words);
        expect(await page.locator('nav, main form').count()).toBe(0);
      }
      // Chromium tells the code of such a page as an error.
      expect(visitor.complaints.splice(0).filter((text) => !text.includes('status of 403'))).toEqual([]);
    });

    it.runIf(name === 'SQLite')('has no button or link that acts for whoever may only read', async () => {
      for (const path of ['deliveries', 'handlers']) {
        expect(await visitor.open(`../reading/${path}`)).toBe(200);
        expect([path, await page.locator('form[method=post], a[href^=act]').count()]).toEqual([path, 0]);
      }
      expect(visitor.complaints).toEqual([]);
    });

    it.runIf(name === 'SQLite')('shows hostile texts as texts, and none makes a page wider than a phone', async () => {
      app.handlers.failing.set(`labels ${GROUP}`, `${HOSTILE} ${LONG} ${HIDDEN} ${HEBREW}\n    at ${LONG}`);
      await app.spark.emit([
        sparkEvent(GROUP, LONG, { [HOSTILE]: `${HEBREW} ${HIDDEN} ${HOSTILE} ${LONG}` }),
        sparkEvent('parcel', HIDDEN),
      ]);
      await app.spark.drain();
      await page.setViewportSize({ width: 390, height: 844 });
      const search = new URLSearchParams({ group: GROUP }).toString();
      const { key } = (await app.spark.events({ group: GROUP })).records[0]!;
      const pages = [
        `event?${new URLSearchParams({ key }).toString()}`,
        `delivery?id=${await app.idOf({ group: GROUP, state: 'discarded' })}`,
        `events?${search}`,
        `deliveries?${search}`,
        'errors',
        `act?do=retry&${search}`,
      ];
      for (const path of pages) {
        expect([path, await visitor.open(path)]).toEqual([path, 200]);
        expect(await page.locator('main').textContent()).toContain(HOSTILE);
        const { width } = (await page.locator('main').boundingBox())!;
        expect([path, await page.locator('main script, main img').count(), width]).toEqual([path, 0, 390]);
        if (javaScriptEnabled) expect([path, await overflowOf(page)]).toEqual([path, 0]);
      }
      await visitor.open('events?keyPrefix=parcel_invoice');
      expect(await page.locator('main').textContent()).toContain('invoice\\u202efdp.exe');
      expect(visitor.complaints).toEqual([]);
    });
  },
);

// An open page is read again after five seconds at the earliest.
const SOON = { timeout: 20_000 };
const LONGER_THAN_AN_UPDATE = 7_000;

// Nearly all of it is waiting, so the applications wait together.
describe.runIf(hasBrowser)(
  "in Chromium, on 'SQLite', 'PostgreSQL' and 'MariaDB', an open page of the dashboard",
  () => {
    it('shows what is new, keeps what is typed, rests while it is hidden, and keeps no application from closing', async () => {
      await Promise.all(
        arms.map(async (arm) => {
          const app = await appOf(arm);
          const list = await visit(browser, `${app.root}spark/`);
          const overview = await visit(browser, `${app.root}spark/`);
          const link = (seen: Visit, name: string) => seen.page.getByRole('link', { name, exact: true });
          await list.open('events?group=work_new');
          await overview.open('');
          await list.page.evaluate('globalThis.isFirst = true');
          await list.page.getByLabel('Beginning of the key').fill('half of a wo');
          expect(await link(overview, 'works').count()).toBe(0);

          await app.spark.emit(sparkEvent('work_new', 1));
          await link(list, 'work_new_1').waitFor(SOON);
          // The handler that has something to do now.
          await link(overview, 'works').first().waitFor(SOON);
          expect(await list.page.getByLabel('Beginning of the key').inputValue()).toBe('half of a wo');

          await show(list.page, false);
          const asked = list.requests.length;
          await app.spark.emit(sparkEvent('work_new', 2));
          await delay(LONGER_THAN_AN_UPDATE);
          expect([list.requests.slice(asked), await link(list, 'work_new_2').count()]).toEqual([[], 0]);
          await show(list.page, true);
          await link(list, 'work_new_2').waitFor(SOON);
          expect(await list.page.evaluate('globalThis.isFirst')).toBe(true);
          expect([...list.complaints, ...overview.complaints]).toEqual([]);

          const started = performance.now();
          await app.close();
          expect(performance.now() - started).toBeLessThan(10_000);
          await list.close();
          await overview.close();
        }),
      );
    }, 90_000);
  },
);
